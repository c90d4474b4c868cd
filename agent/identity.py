"""Tokens for storage: from the App-Service-style endpoint, a federated token, or IMDS; or a SAS from a file.

A token is renewed some minutes before it expires, and used until then while it cannot be. What comes back
from here goes into a request to the account's own origin (`blobs.py`) and nowhere else: not into logs,
errors, reports or arguments.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from .answering import in_time
from .errors import IdentityBusy, IdentityUnavailable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .settings import IdentitySettings

RESOURCE = "https://storage.azure.com/"
IMDS_PATH = "/metadata/identity/oauth2/token"
TIMEOUT_SECONDS = 10.0
# A token has some thousand; what is cut is no JSON any more.
MOST_BODY_BYTES = 64 * 1024
# Renewed early, so that no request begins with a token that expires on its way.
RENEWAL_SECONDS = 300.0
# After a renewal that failed while the token is still good.
ANOTHER_TRY_SECONDS = 15.0
# A node whose clock is ahead would take every token for an expired one, and ask for one per request.
LEAST_SECONDS = 60.0
# What does not break the line that it becomes part of.
SAS = re.compile(rb"[!-~]+")
# The metadata service answers with the first two while it is updated, and documents a minute and more of it.
PASSING = frozenset({404, 410, 408, 429, 500, 502, 503, 504})


class Credentials(Protocol):
    """What makes a request to the account an authorised one."""

    def headers(self) -> dict[str, str]:
        """Headers to add."""

    def query(self) -> str:
        """Query string to add, without `?`."""

    def forget(self) -> None:
        """The account did not accept what was given: get it anew next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """How to ask for a token."""

    source: str
    url: str
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None


@dataclass(slots=True)
class Bearer:
    """A token of the node's identity, renewed before it expires."""

    settings: IdentitySettings
    _token: str = ""
    _renew_at: float = 0.0
    _expires_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def headers(self) -> dict[str, str]:
        """The `Authorization` header.

        Raises:
            IdentityBusy: no token is to be had now.
            IdentityUnavailable: nor will one be.
        """
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew_or_keep()
            return {"Authorization": f"Bearer {self._token}"}

    def query(self) -> str:
        """Nothing: a token never becomes part of an address."""
        return ""

    def forget(self) -> None:
        """Ask for a fresh token next time."""
        with self._lock:
            self._renew_at = self._expires_at = 0.0

    def _renew_or_keep(self) -> None:
        try:
            self._renew()
        except IdentityBusy:
            if time.monotonic() >= self._expires_at:
                raise
            self._renew_at = time.monotonic() + ANOTHER_TRY_SECONDS

    def _renew(self) -> None:
        request = token_request(self.settings)
        answer = _ask(request)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise IdentityUnavailable(f"{request.source} answered without a token")
        self._token = token
        lifetime = _lifetime(answer)
        now = time.monotonic()
        self._renew_at = now + max(lifetime - RENEWAL_SECONDS, lifetime / 2)
        self._expires_at = now + lifetime


@dataclass(frozen=True, slots=True)
class Sas:
    """A shared access signature from a file, read at each use so that a rotated one is picked up."""

    path: Path

    def headers(self) -> dict[str, str]:
        """Nothing: a SAS is part of the address."""
        return {}

    def query(self) -> str:
        """The signature, if it can be part of an address."""
        remedy = "check WARMUP_SAS_FILE and the secret that is mounted there"
        try:
            sas = self.path.read_bytes().strip().removeprefix(b"?")
        except OSError as error:
            raise IdentityUnavailable(
                f"the file of the SAS cannot be read: {error.strerror}", remedy
            ) from error
        if not SAS.fullmatch(sas):
            raise IdentityUnavailable("the file of the SAS holds something else", remedy)
        return sas.decode("ascii")

    def forget(self) -> None:
        """Nothing is kept."""


def credentials_for(settings: IdentitySettings) -> Credentials:
    """What this node has: a SAS file if one is named, else its identity."""
    return Sas(settings.sas_file) if settings.sas_file else Bearer(settings)


def token_request(settings: IdentitySettings) -> TokenRequest:
    """The first way to a token that the environment offers."""
    if settings.endpoint:
        return _endpoint_request(settings, settings.endpoint)
    if settings.federated_token_file and settings.is_federated:
        return _federated_request(settings, settings.federated_token_file)
    query = {"api-version": "2018-02-01", "resource": RESOURCE, **_client(settings)}
    url = f"{settings.imds.rstrip('/')}{IMDS_PATH}?{urlencode(query)}"
    return TokenRequest(source="IMDS", url=url, headers={"Metadata": "true"})


def _client(settings: IdentitySettings) -> dict[str, str]:
    return {"client_id": settings.client_id} if settings.client_id else {}


def _endpoint_request(settings: IdentitySettings, endpoint: str) -> TokenRequest:
    query = {"api-version": "2019-08-01", "resource": RESOURCE, **_client(settings)}
    return TokenRequest(
        source="IDENTITY_ENDPOINT",
        url=f"{endpoint}?{urlencode(query)}",
        headers={"X-IDENTITY-HEADER": settings.header or ""},
    )


def _federated_request(settings: IdentitySettings, token_file: Path) -> TokenRequest:
    try:
        assertion = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise IdentityUnavailable(
            f"the federated token cannot be read: {error.strerror}",
            remedy="check that workload identity is set up for the pod's service account",
        ) from error
    return TokenRequest(
        source="the authority",
        url=f"{settings.authority.rstrip('/')}/{settings.tenant_id}/oauth2/v2.0/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        form={
            "grant_type": "client_credentials",
            "client_id": settings.client_id or "",
            "scope": f"{RESOURCE}.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        },
    )


def _ask(request: TokenRequest) -> dict[str, Any]:
    try:
        status, body = _exchange(request)
    except (OSError, http.client.HTTPException) as error:
        failure = quoted(f"{type(error).__name__}: {error}")
        raise IdentityBusy(f"{request.source} gave no token: {failure}") from error
    except ValueError:
        # Such an error quotes the header.
        raise IdentityUnavailable("IDENTITY_HEADER cannot be part of a request") from None
    if status == http.HTTPStatus.OK:
        return _answer(request, body)
    kind = IdentityBusy if status in PASSING else IdentityUnavailable
    raise kind(f"{request.source} gave no token: HTTP {status}: {quoted(body)}")


def _exchange(request: TokenRequest) -> tuple[int, str]:
    parts = urlsplit(request.url)
    connection = _connection(parts.scheme, parts.netloc)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        with in_time(connection.sock):
            if request.form is None:
                connection.request("GET", target, headers=dict(request.headers))
            else:
                connection.request("POST", target, urlencode(request.form), dict(request.headers))
            response = connection.getresponse()
            return response.status, response.read(MOST_BODY_BYTES).decode("utf-8", "replace")
    finally:
        connection.close()


def _connection(scheme: str, netloc: str) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(netloc, timeout=TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(netloc, timeout=TIMEOUT_SECONDS)


def _answer(request: TokenRequest, body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        # The body is not quoted: it may hold what a token was cut from.
        raise IdentityUnavailable(f"{request.source} answered something that is not JSON")
    return answer


def _lifetime(answer: Mapping[str, Any]) -> float:
    """Seconds that the token lives.

    `expires_in` first: it needs no agreement between the node's clock and the identity's.
    """
    try:
        if "expires_in" in answer:
            return float(answer["expires_in"])
        return max(LEAST_SECONDS, float(answer["expires_on"]) - time.time())
    except (KeyError, TypeError, ValueError):
        return RENEWAL_SECONDS
