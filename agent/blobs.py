"""One ranged read of one blob, and what every refusal means.

A reader owns one connection to the account's origin and keeps it alive. It follows no redirect: the
token would travel with it. Every answer is held against the manifest before its first byte is used.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from .answering import in_time
from .errors import (
    AccessDenied,
    AgentError,
    Changed,
    MayPass,
    Network,
    NotFound,
    RoleMissing,
    StorageClosed,
    Throttled,
    Untrusted,
    quoted,
)
from .manifest import File, etag_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .identity import Credentials
    from .settings import Endpoint

API_VERSION = "2021-12-02"
# Between two reads, not for a whole answer: a slow wire is not a hanging one, unless it is this slow.
READ_TIMEOUT_SECONDS = 10.0
LEAST_BYTES_PER_SECOND = 1000
CHUNK_BYTES = 256 * 1024
# Of TLS: a buffer with less room than that would only split the next one.
RECORD_BYTES = 16 * 1024
# Small enough that a killed agent loses little, large enough for 16 Gbit/s at 1 ms over 16 connections.
RECEIVE_BUFFER_BYTES = 256 * 1024
# What a refusal may say about itself; anything longer is not an error body of Azure.
ERROR_BODY_BYTES = 8192
LONGEST_PAUSE_SECONDS = 60.0

REFUSALS: dict[str, tuple[type[AgentError], str]] = {
    "AuthorizationFailure": (StorageClosed, "the account's network rules do not admit this node"),
    "AuthorizationPermissionMismatch": (RoleMissing, "the identity has no role for this data, or not yet"),
    "AuthorizationResourceTypeMismatch": (AccessDenied, "the SAS does not cover blobs"),
    "AccountIsDisabled": (AccessDenied, "the account is disabled"),
    "OperationTimedOut": (Throttled, "the account took too long"),
    "BlobArchived": (NotFound, "the blob is archived and cannot be read"),
}
BY_STATUS: dict[int, tuple[type[AgentError], str]] = {
    HTTPStatus.UNAUTHORIZED: (AccessDenied, "the account does not accept the token"),
    HTTPStatus.FORBIDDEN: (AccessDenied, "the account refuses this identity"),
    HTTPStatus.NOT_FOUND: (NotFound, "there is no such blob"),
    HTTPStatus.CONFLICT: (NotFound, "the blob cannot be read as it is"),
    HTTPStatus.PRECONDITION_FAILED: (Changed, "the blob was replaced since the database was described"),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: (Changed, "the blob is shorter than described"),
    HTTPStatus.TOO_MANY_REQUESTS: (Throttled, "the account asks for fewer requests"),
    HTTPStatus.SERVICE_UNAVAILABLE: (Throttled, "the account is busy"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a database's blobs are, and how to be let in."""

    endpoint: Endpoint
    container: str
    credentials: Credentials
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Consecutive bytes of a file."""

    start: int
    length: int

    @property
    def header(self) -> str:
        """As HTTP says it, both ends included."""
        return f"bytes={self.start}-{self.start + self.length - 1}"


class BlobReader:
    """Reads ranges of blobs, one at a time, over one connection."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._connection: http.client.HTTPConnection | None = None
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def read(self, file: File, wanted: Range, sink: Callable[[memoryview], None]) -> None:
        """Hand the bytes of `wanted` to `sink`, chunk by chunk, in order.

        Raises:
            MayPass: part of it may have reached the sink; ask again for the rest.
            WillNotPass: asking again is of no use.
        """
        response = self._get(file, "GET", {"Range": wanted.header})
        try:
            _check_range(file, wanted, response)
            self._drain(file, wanted.length, response, sink)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _network(file, error) from error
        except BaseException:
            # Whatever is left of the answer must not be taken for the next one.
            self.close()
            raise

    def probe(self, file: File) -> None:
        """Ask for the blob's head: is the account open, the role there, the blob the same?"""
        response = self._get(file, "HEAD", {})
        response.read()
        _check_etag(file, response)
        if response.getheader("Content-Length") != str(file.size):
            raise Changed(
                f"{file.blob}: the blob has {response.getheader('Content-Length')} bytes, not {file.size}"
            )

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _get(self, file: File, method: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        response = self._ask(file, method, headers)
        if response.status == HTTPStatus.UNAUTHORIZED:
            # A token may be revoked, or expire early by the account's clock: one fresh one, then believe it.
            self.close()
            self._account.credentials.forget()
            response = self._ask(file, method, headers)
        if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            self._refuse(file, response)
        return response

    def _ask(self, file: File, method: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        account = self._account
        sent = {
            "x-ms-version": API_VERSION,
            "x-ms-client-request-id": account.run_id,
            "If-Match": f'"{file.etag}"',
            **headers,
            **account.credentials.headers(),
        }
        query = account.credentials.query()
        path = f"{account.endpoint.path}/{account.container}/{quote(file.blob)}" + (
            f"?{query}" if query else ""
        )
        try:
            connection = self._connected()
            with in_time(connection.sock):
                connection.request(method, path, headers=sent)
                return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _network(file, error) from error

    def _connected(self) -> http.client.HTTPConnection:
        # One that the account ended with its last answer would open itself anew, behind the back of the wire.
        if self._connection is None or self._connection.sock is None:
            connection = _connection_to(self._account.endpoint)
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            # The connection lets go of it with the head of its last answer.
            self._connection, self._wire = connection, connection.sock
        return self._connection

    def _drain(
        self, file: File, length: int, response: http.client.HTTPResponse, sink: Callable[[memoryview], None]
    ) -> None:
        left, filled, waited = length, 0, 0.0
        # The first bytes may have come with the head; for the others a stream only costs.
        receive: Callable[[memoryview], int] = response.fp.readinto1
        try:
            while left:
                # One system call at most: what came before a reset is kept, however little.
                began = time.monotonic()
                count = receive(self._buffer[filled : filled + left])
                receive = self._wire.recv_into
                waited += time.monotonic() - began
                if not count:
                    raise Network(f"{file.blob}: the answer ended {left} bytes early")
                left, filled = left - count, filled + count
                if waited > READ_TIMEOUT_SECONDS and length - left < waited * LEAST_BYTES_PER_SECOND:
                    raise Network(f"{file.blob}: {length - left} bytes in {waited:.0f} s: as good as hanging")
                if filled > CHUNK_BYTES - RECORD_BYTES:
                    full, filled = filled, 0
                    sink(self._buffer[:full])
        finally:
            if filled:
                sink(self._buffer[:filled])
        # An answer that was read to its end leaves the connection ready for the next request.
        response.close()

    def _refuse(self, file: File, response: http.client.HTTPResponse) -> None:
        try:
            with in_time(self._wire):
                body = response.read(ERROR_BODY_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            body = ""
        self.close()
        raise refusal(file.blob, response.status, dict(response.getheaders()), body)


def refusal(blob: str, status: int, headers: dict[str, str], body: str) -> AgentError:
    """The error that an unwelcome answer stands for."""
    headers = {name.lower(): value for name, value in headers.items()}
    code = headers.get("x-ms-error-code") or _code_in(body)
    kind, why = REFUSALS.get(code) or BY_STATUS.get(status) or _by_class(status)
    error = kind(f"{blob}: {why} (HTTP {status}{f' {quoted(code)}' if code else ''})")
    if isinstance(error, MayPass):
        error.retry_after_seconds = _retry_after(headers.get("retry-after", ""))
    return error


def _by_class(status: int) -> tuple[type[AgentError], str]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Network, "the account failed"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return AccessDenied, "the account answered with a redirect, which is not followed with a token"
    return AccessDenied, "the account refuses the request"


def _code_in(body: str) -> str:
    found = re.search(r"<Code>(\w{1,64})</Code>", body)
    return found.group(1) if found else ""


def _retry_after(value: str) -> float | None:
    """Seconds, or the moment itself; no longer than a node may stand still for one answer."""
    try:
        seconds = (
            float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_PAUSE_SECONDS)


def _connection_to(endpoint: Endpoint) -> http.client.HTTPConnection:
    if endpoint.tls:
        return http.client.HTTPSConnection(
            endpoint.host, endpoint.port, timeout=READ_TIMEOUT_SECONDS, context=_trust()
        )
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=READ_TIMEOUT_SECONDS)


@cache
def _trust() -> ssl.SSLContext:
    """The authorities known here: read once, since that takes longer than a handshake."""
    return ssl.create_default_context()


def _check_range(file: File, wanted: Range, response: http.client.HTTPResponse) -> None:
    _check_etag(file, response)
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        raise Network(f"{file.blob}: the server ignored the range and answered HTTP {response.status}")
    span = f"bytes {wanted.start}-{wanted.start + wanted.length - 1}/"
    given = response.getheader("Content-Range") or ""
    if not given.startswith(span):
        raise Network(f"{file.blob}: asked for {span}, the server answered {quoted(given)!r}")
    if given != f"{span}{file.size}":
        raise Changed(f"{file.blob}: the blob's size is not {file.size} any more: {quoted(given)!r}")
    if response.chunked:
        # The body is read as it comes from the wire: frames within it would pass for bytes of the blob.
        raise Network(f"{file.blob}: the answer comes in chunks, where a length was announced")
    if response.getheader("Content-Length") != str(wanted.length):
        raise Network(
            f"{file.blob}: {response.getheader('Content-Length')} bytes announced, {wanted.length} due"
        )


def _check_etag(file: File, response: http.client.HTTPResponse) -> None:
    given = etag_of(response.getheader("ETag") or "")
    if given != file.etag:
        raise Changed(f"{file.blob}: the blob was replaced since the database was described (ETag {given!r})")


def _network(file: File, error: BaseException) -> AgentError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"{file.blob}: the account's certificate is not trusted: {quoted(str(error))}")
    # Such an error quotes the address, and the SAS in it.
    said = "" if isinstance(error, http.client.InvalidURL) else f": {quoted(str(error))}"
    return Network(f"{file.blob}: {type(error).__name__}{said}")
