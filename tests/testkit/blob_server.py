"""A blob server of our own on loopback: ranges, ETags, counted bytes, and faults on demand.

It answers like Azure's blob endpoint as far as a reader of blobs can tell, and hands out tokens like App
Service's identity endpoint, the instance's metadata service and Entra (for a federated token), so that a
program under test needs nothing that it would not have on a node.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import threading
import time
from base64 import b64encode
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    Judge = Callable[["Request"], "Fault | None"]

PIECE_BYTES = 64 * 1024
DRIP_SECONDS = 0.5
TOKEN = "a-token-for-storage"
IDENTITY_HEADER = "the-identity-header"
FEDERATED_TOKEN = "a-token-of-the-cluster"
TENANT = "the-tenant"
CLIENT = "the-client"
CONTAINER = "blast-db"
# Programs differ in the slash.
STORAGE = (["https://storage.azure.com"], ["https://storage.azure.com/"])
MODIFIED = "2026-05-26T01:05:01Z"


@dataclass(frozen=True, kw_only=True)
class StoredBlob:
    """What the server has under a name."""

    content: bytes
    etag: str
    md5: str | None
    modified: str = MODIFIED


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How to answer instead of truthfully."""

    kind: Literal[
        "status",
        "reset",
        "hang",
        "short",
        "ignore_range",
        "wrong_range",
        "long_header",
        "chunked",
        "drip",
        "drip_head",
    ]
    status: int = 503
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asked for."""

    number: int
    method: str
    blob: str
    headers: dict[str, str]
    target: str


@dataclass(kw_only=True)
class BlobServer:
    """The server, its blobs, and what it has seen."""

    scheme: str = "http"
    port: int = 0
    blobs: dict[str, StoredBlob] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    moments: list[tuple[float, int]] = field(default_factory=list)
    """When how many bytes left."""
    judge: Judge = field(default=lambda _: None)
    """Decides per request whether to misbehave."""
    bytes_per_second: float | None = None
    """Of each answer; None is as fast as possible."""
    keeps_connections: bool = True
    """False: each ends with its answer, as behind some proxies."""
    tokens_given: Counter[str] = field(default_factory=Counter)
    """By the path that was asked."""
    token_seconds: int = 3600
    token_drips: bool = False
    token_padding: int = 0
    """Bytes of nothing around what a token comes in."""
    accepted_token: str = TOKEN
    accepted_signature: str | None = None
    """Of a SAS."""
    unlucky_tokens: list[int] = field(default_factory=list)
    """What the next requests for a token are answered with, instead of one."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """The account's blob endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}/"

    @property
    def identity_endpoint(self) -> str:
        """Where tokens are had."""
        return f"{self.scheme}://127.0.0.1:{self.port}/msi/token"

    @property
    def served_bytes(self) -> int:
        """Bytes of blobs that left the server, whether or not they arrived."""
        with self._lock:
            return sum(self.served.values())

    def most_within(self, seconds: float) -> int:
        """Bytes that left in the busiest window of so long."""
        with self._lock:
            return max(
                sum(count for moment, count in self.moments if 0 <= moment - begin < seconds)
                for begin, _ in self.moments
            )

    def has_served(self, count: int = 0) -> bool:
        """Did more than so many bytes leave?"""
        return self.served_bytes > count

    def forget(self) -> None:
        """Count from nothing again."""
        with self._lock:
            self.requests.clear()
            self.served.clear()
            self.moments.clear()

    def put(self, name: str, content: bytes, *, md5: bool = False, modified: str = MODIFIED) -> None:
        """Store a blob under `container/name`; new content gets a new ETag."""
        etag = f"0x{hashlib.sha256(content + modified.encode()).hexdigest()[:16].upper()}"
        digest = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() if md5 else None
        with self._lock:
            self.blobs[name] = StoredBlob(content=content, etag=etag, md5=digest, modified=modified)

    def seen(self, request: Request) -> None:
        """Note a request."""
        with self._lock:
            self.requests.append(request)

    def sent(self, blob: str, count: int) -> None:
        """Note bytes that left."""
        with self._lock:
            self.served[blob] += count
            self.moments.append((time.monotonic(), count))

    def manifest(self, database: str, **changes: Any) -> dict[str, Any]:
        """The manifest of all blobs in the folder `database`."""
        prefix = f"{database}/"
        with self._lock:
            found = {name: blob for name, blob in self.blobs.items() if name.startswith(prefix)}
        files = [_entry(name, blob) for name, blob in sorted(found.items())]
        listing = json.dumps(files).encode()
        return {
            "schema": 1,
            "database": database,
            "container": CONTAINER,
            "source_version": None,
            "generation": hashlib.sha256(listing).hexdigest(),
            "molecule": "nucl",
            "bytes": sum(file["size"] for file in files),
            "files": files,
            **changes,
        }


def sometimes(fault: Fault, *, share: float) -> Judge:
    """A judge that lets `share` of the reads go wrong, the same ones every time."""
    chance = random.Random(1)  # noqa: S311 - the same faults every time
    return lambda request: fault if request.method == "GET" and chance.random() < share else None


def always(fault: Fault, *, method: str = "GET", blob: str = "") -> Judge:
    """A judge that lets all such requests go wrong."""
    return lambda request: fault if request.method == method and request.blob.startswith(blob) else None


def at_first(count: int, fault: Fault) -> Judge:
    """A judge that relents after `count` requests."""
    return lambda request: fault if request.number < count else None


def _entry(name: str, blob: StoredBlob) -> dict[str, Any]:
    file = name.rsplit("/", 1)[-1]
    return {
        "name": file,
        "blob": name,
        "size": len(blob.content),
        "etag": f'"{blob.etag}"',
        "md5": blob.md5,
        "modified": blob.modified,
        "shared": file.startswith("tax"),
    }


@contextmanager
def blob_server(tls: ssl.SSLContext | None = None) -> Iterator[BlobServer]:
    """A server on a free port of loopback, stopped at the end."""
    served = BlobServer(scheme="https" if tls else "http")
    handler = type("Handler", (_Handler,), {"blobs": served})
    server = _Server(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    served.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.stop_hanging()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.stopping = threading.Event()

    def stop_hanging(self) -> None:
        self.stopping.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    blobs: BlobServer
    server: _Server

    def setup(self) -> None:
        # Bytes in a buffer count as served: keep the buffer small, or kills look more wasteful than they are.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def end_headers(self) -> None:
        if not self.blobs.keeps_connections:
            self.send_header("Connection", "close")  # which the base class obeys
        super().end_headers()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/msi/token":
            honest = self.headers["X-IDENTITY-HEADER"] == IDENTITY_HEADER
            self._give_token(entitled=honest and asked.get("resource") in STORAGE)
        elif path == "/metadata/identity/oauth2/token":
            honest = self.headers["Metadata"] == "true" and asked.get("client_id") == [CLIENT]
            self._give_token(entitled=honest and asked.get("resource") in STORAGE)
        else:
            self._answer()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        entitled = (
            self.path == f"/{TENANT}/oauth2/v2.0/token"
            and form["client_assertion"] == [FEDERATED_TOKEN]
            and form["client_id"] == [CLIENT]
            and form["scope"] == ["https://storage.azure.com/.default"]
        )
        self._give_token(entitled=entitled)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class says so
        """Requests are kept, not printed."""

    def _give_token(self, *, entitled: bool) -> None:
        server = self.blobs
        if not entitled or server.unlucky_tokens:
            self._refuse(server.unlucky_tokens.pop(0) if entitled else 400, "bad_request", {})
            return
        if server.token_drips:
            self._drip(b" " * PIECE_BYTES, begin=b"HTTP/1.1 200 OK\r\n\r\n")
            return
        server.tokens_given[urlsplit(self.path).path] += 1
        # Entra tells how long a token lives, App Service when it ends, by its own clock.
        ends = {"expires_on": str(int(time.time()) + server.token_seconds)}
        lives = {"expires_in": server.token_seconds} if "oauth2" in self.path else ends
        body = " " * server.token_padding + json.dumps({"access_token": server.accepted_token, **lives})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _answer(self) -> None:
        request = self._note()
        fault = self.blobs.judge(request)
        blob = self.blobs.blobs.get(request.blob)
        if fault and self._misbehave_at_once(fault):
            return
        if not self._is_admitted():
            self._refuse(401, "InvalidAuthenticationInfo", {})
        elif blob is None:
            self._refuse(404, "BlobNotFound", {})
        elif self.headers["If-Match"] not in {None, "*", f'"{blob.etag}"'}:
            self._refuse(412, "ConditionNotMet", {})
        else:
            self._send(request, blob, fault)

    def _is_admitted(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.blobs.accepted_token}":
            return True
        signature = self.blobs.accepted_signature
        return signature is not None and parse_qs(urlsplit(self.path).query).get("sig") == [signature]

    def _note(self) -> Request:
        _, container, blob = unquote(urlsplit(self.path).path).split("/", 2)
        assert container == CONTAINER
        request = Request(
            number=len(self.blobs.requests),
            method=self.command,
            blob=blob,
            headers=dict(self.headers),
            target=self.path,
        )
        self.blobs.seen(request)
        return request

    def _misbehave_at_once(self, fault: Fault) -> bool:
        if fault.kind == "status":
            self._refuse(fault.status, fault.code, fault.headers)
        elif fault.kind == "hang" and not fault.after_bytes:
            self.server.stopping.wait()
            self.close_connection = True
        elif fault.kind == "reset" and not fault.after_bytes:
            self._reset()
        elif fault.kind == "drip_head":
            self._drip(b"x" * PIECE_BYTES, begin=b"HTTP/1.1 200 OK\r\nX-Slow: ")
        else:
            return False
        return True

    def _drip(self, content: bytes, begin: bytes = b"") -> None:
        """Never be silent for as long as a timeout takes, and hardly ever come to an end."""
        self.close_connection = True
        self.wfile.write(begin)
        for byte in content:
            if self.server.stopping.wait(DRIP_SECONDS):
                return
            self.wfile.write(bytes([byte]))

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def _refuse(self, status: int, code: str, headers: dict[str, str]) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        if code:
            self.send_header("x-ms-error-code", code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send(self, request: Request, blob: StoredBlob, fault: Fault | None) -> None:
        start, end = self._range(blob)
        kind = fault.kind if fault else None
        partial = "Range" in self.headers and kind != "ignore_range"
        if not partial:
            start, end = 0, len(blob.content)
        self.send_response(206 if partial else 200)
        self.send_header("ETag", f'"{blob.etag}"')
        self.send_header("Content-Length", str(end - start + (9 if kind == "long_header" else 0)))
        if partial:
            first = start + 1 if kind == "wrong_range" else start
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(blob.content)}")
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "GET" and kind == "chunked":
            self._stream_in_chunks(request.blob, blob.content[start:end])
        elif self.command == "GET":
            ends = fault and fault.kind in {"short", "reset", "hang", "drip"}
            limit = fault.after_bytes if fault and ends else end - start
            self._stream(request.blob, memoryview(blob.content)[start : min(end, start + limit)])
            if kind == "drip":
                self._drip(blob.content[start + limit : end])
            self._end_badly(kind)

    def _stream_in_chunks(self, name: str, content: bytes) -> None:
        """Framed as chunks, whatever length was announced beside."""
        self.wfile.write(b"%x\r\n" % len(content))
        self._stream(name, memoryview(content))
        self.wfile.write(b"\r\n0\r\n\r\n")

    def _end_badly(self, kind: str | None) -> None:
        if kind == "reset":
            self._reset()
        elif kind == "hang":
            self.server.stopping.wait()
        if kind in {"short", "hang", "long_header"}:
            self.close_connection = True

    def _range(self, blob: StoredBlob) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if not found:
            return 0, len(blob.content)
        return int(found[1]), min(int(found[2]) + 1, len(blob.content))

    def _stream(self, name: str, content: memoryview) -> None:
        for offset in range(0, len(content), PIECE_BYTES):
            piece = content[offset : offset + PIECE_BYTES]
            self.wfile.write(piece)
            self.blobs.sent(name, len(piece))
            if self.blobs.bytes_per_second:
                time.sleep(len(piece) / self.blobs.bytes_per_second)
