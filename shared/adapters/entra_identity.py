"""Entra ID's bearer tokens, validated by PyJWT against the tenant's published keys.

Judging never blocks: keys are fetched by `learn`, which whoever has a thread to spare calls when a
token names a key that is not known. A stranger who invents key ids causes one fetch in 30 seconds.
"""

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import jwt

from shared.domain.callers import Caller, Stranger
from shared.ports import PassingError

Clock = Callable[[], float]
ALGORITHM = "RS256"  # all that Entra ID signs with; whatever else a header says is refused
LEEWAY_SECONDS = 120  # between two clocks that are both kept by NTP
KEYS_LAST_SECONDS = 24 * 3600.0  # Entra publishes a key days before it signs with it
ASK_AGAIN_SECONDS = 30.0
_TIMEOUT_SECONDS = 5.0
_MAX_DOCUMENT = 1024 * 1024
_REQUIRED = ["exp", "iat", "aud", "iss", "oid"]
# Who issues tokens of the first generation, by the cloud's authority; elsewhere it is the public one.
_V1_ISSUERS = {
    "https://login.chinacloudapi.cn": "https://sts.chinacloudapi.cn",
    "https://login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn",
}
_PUBLIC_V1_ISSUER = "https://sts.windows.net"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Whose tokens are accepted, and for whom they must be meant."""

    authority_host: str
    tenant_id: str
    client_id: str
    ca_bundle: Path | None

    @property
    def older_issuer(self) -> str:
        """Of tokens of the first generation; the second's is in the discovery document."""
        return f"{_V1_ISSUERS.get(self.authority_host, _PUBLIC_V1_ISSUER)}/{self.tenant_id}/"

    @property
    def audiences(self) -> list[str]:
        """Both ways to name this app."""
        return [self.client_id, f"api://{self.client_id}"]

    @property
    def discovery(self) -> str:
        """Where the tenant says where its keys are."""
        return f"{self.authority_host}/{self.tenant_id}/v2.0/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """What a tenant says of itself."""

    issuer: str  # in some clouds on another host than the document itself
    keys: Mapping[str, jwt.PyJWK]


class EntraIdentity:
    """Implements `Callers` for one tenant."""

    def __init__(self, tenant: Tenant, clock: Clock = time.monotonic) -> None:
        """Know nothing yet: the first token causes the first fetch."""
        self._tenant = tenant
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._published = _Published(issuer="", keys={})
        self._learned_at = self._asked_at = -KEYS_LAST_SECONDS
        self._failure: str | None = None

    def recognise(self, token: str) -> Caller | Stranger | None:
        """Judge a token from the keys at hand; None while a fetch may bring the one it names."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            return Stranger(why="it is not a JSON web token")
        if header.get("alg") != ALGORITHM:
            return Stranger(why=f"it is not signed with {ALGORITHM}")
        key = self._published.keys.get(str(header.get("kid")))
        if key is None:
            return self._unknown_key()
        if self._aged and not self._asked_lately:
            return None
        return self._verified(token, key)

    def learn(self) -> None:
        """Fetch the keys, unless somebody just did."""
        with self._one_at_a_time:
            if self._asked_lately:
                return
            try:
                published = self._fetch()
            except (OSError, ValueError, jwt.PyJWTError) as failure:
                self._failure = f"the keys of tenant {self._tenant.tenant_id} cannot be read: {failure}"[:256]
            else:
                self._published, self._failure, self._learned_at = published, None, self._clock()
            self._asked_at = self._clock()

    @property
    def _asked_lately(self) -> bool:
        return self._clock() - self._asked_at < ASK_AGAIN_SECONDS

    @property
    def _aged(self) -> bool:
        return self._clock() - self._learned_at > KEYS_LAST_SECONDS

    def _unknown_key(self) -> Stranger | None:
        if not self._asked_lately:
            return None
        if self._failure is not None:
            raise PassingError(self._failure)
        return Stranger(why="it is signed with a key that the tenant does not publish")

    def _verified(self, token: str, key: jwt.PyJWK) -> Caller | Stranger:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._tenant.audiences,
                issuer=[self._published.issuer, self._tenant.older_issuer],
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as fault:
            return Stranger(why=str(fault)[:120])
        return _caller(claims)

    def _fetch(self) -> "_Published":
        about = self._document(self._tenant.discovery)
        issuer = about.get("issuer")
        if not isinstance(issuer, str) or not issuer:
            raise ValueError("the discovery document names no issuer")
        found = jwt.PyJWKSet.from_dict(self._document(str(about.get("jwks_uri"))))
        keys = {key.key_id: key for key in found.keys if key.key_id and key.key_type == "RSA"}
        return _Published(issuer=issuer, keys=keys)

    def _document(self, url: str) -> dict[str, object]:
        if not url.startswith("https://"):
            raise ValueError(f"{url[:80]!r} is not an https:// address")
        trust = ssl.create_default_context(cafile=self._tenant.ca_bundle)
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS, context=trust) as answer:  # noqa: S310 - https
            document = json.loads(answer.read(_MAX_DOCUMENT))
        if not isinstance(document, dict):
            raise ValueError(f"{url[:80]!r} does not hold a JSON object")  # noqa: TRY004 - a fault of its data
        return document


def _caller(claims: Mapping[str, object]) -> Caller | Stranger:
    object_id, roles = claims.get("oid"), claims.get("roles", [])
    if not isinstance(object_id, str) or not object_id:
        return Stranger(why="its oid is no object id")
    if not isinstance(roles, list):
        return Stranger(why="its roles are no list")
    return Caller(object_id=object_id, roles=frozenset(str(role) for role in cast("list[object]", roles)))
