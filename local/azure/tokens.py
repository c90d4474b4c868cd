"""The Entra tenant's one key: tokens are signed with it here, and checked against it here.

Claims are those of a real managed identity's v1 token and of a user's v2 token. A token given to a node
also says which (`xms_node`), so that a log can tell the nodes apart though they share one identity.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from local.azure.settings import Identity

KEY_BITS = 2048
"""What Entra signs with."""

BACKDATED_SECONDS = 300
"""Entra lets a token begin five minutes early, for clocks that are behind."""

TOKENS_REMEMBERED = 4096
"""Each node holds one or two; a signature is checked once, not once per range of a download."""


class InvalidTokenError(Exception):
    """The bearer token is not one of this tenant's, or not any more."""


class ExpiredTokenError(InvalidTokenError):
    """It was good once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a checked token speaks for."""

    object_id: str
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whom a user's token is minted for, and for which application."""

    object_id: str
    name: str
    audience: str
    roles: tuple[str, ...]
    life_seconds: int


class Tenant:
    """Signs and checks the tokens of one tenant."""

    def __init__(self, tenant_id: str, signing_key: Path) -> None:
        self.tenant_id = tenant_id
        self._key = _load_or_make(signing_key)
        public = self._key.public_key()
        self._public = public
        digest = Hash(SHA256())
        digest.update(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        self._key_id = digest.finalize().hex()[:32]
        self._checked = lru_cache(maxsize=TOKENS_REMEMBERED)(self._decode)

    @property
    def issuer(self) -> str:
        """Who v1 tokens say they are from: what Azurite and ARM accept."""
        return f"https://sts.windows.net/{self.tenant_id}/"

    def key_set(self) -> dict[str, Any]:
        """The public key as a JWKS document."""
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._public, as_dict=True)
        return {"keys": [{**key, "kid": self._key_id, "use": "sig", "alg": "RS256"}]}

    def identity_token(
        self, identity: Identity, resource: str, *, life_seconds: int, node: str | None
    ) -> str:
        """A managed identity's token for `resource`."""
        claims: dict[str, Any] = {
            **self._times(life_seconds),
            "aud": resource,
            "iss": self.issuer,
            "idp": self.issuer,
            "tid": self.tenant_id,
            "ver": "1.0",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "idtyp": "app",
            "appid": identity.client_id,
            # 2: it proved itself by a certificate, as managed identities do.
            "appidacr": "2",
        }
        if node:
            claims["xms_node"] = node
        return self._sign(claims)

    def user_token(self, user: User, *, issuer: str) -> str:
        """A signed-in user's token for an application, with its app roles."""
        claims = {
            **self._times(user.life_seconds),
            "aud": user.audience,
            "iss": issuer,
            "tid": self.tenant_id,
            "ver": "2.0",
            "oid": user.object_id,
            "sub": user.object_id,
            "scp": "user_impersonation",
            "name": user.name,
            "preferred_username": user.name,
            "roles": list(user.roles),
        }
        return self._sign(claims)

    def check(self, token: str, audiences: Collection[str]) -> Caller:
        """Whom the token speaks for; raises InvalidTokenError with the reason."""
        claims = self._checked(token)
        if claims["exp"] <= time.time():
            raise ExpiredTokenError("the token has expired")
        if claims["aud"].rstrip("/") not in audiences:
            raise InvalidTokenError(f"the token is for {claims['aud']}")
        return Caller(object_id=claims["oid"], node=claims.get("xms_node"))

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                self._public,
                algorithms=["RS256"],
                issuer=self.issuer,
                # The end and the audience are checked at each use: this result is remembered.
                options={"verify_exp": False, "verify_aud": False},
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError(f"the token cannot be used: {error}") from error

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def _times(self, life_seconds: int) -> dict[str, int]:
        now = int(time.time())
        begins = now - BACKDATED_SECONDS
        return {"iat": begins, "nbf": begins, "exp": now + life_seconds}


def _load_or_make(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        draft.replace(path)
    loaded = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded
