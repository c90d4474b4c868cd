"""The blob gate: TLS in front of Azurite, a doorkeeper before each request, a log line after.

As thin as it can be: bodies pass through in pieces, connections to Azurite are kept and used again. The
bearer token goes on to Azurite, which has OAuth switched on and looks at it once more.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from local.azure.admission import BlobRequest, Doorkeeper, Refused
from local.azure.faults import Area, Faults, Kind, Rule
from local.azure.http1 import (
    BODILESS_STATUSES,
    PIECE_BYTES,
    Head,
    MalformedHeadError,
    PeerClosedError,
    Stream,
    discard_body,
    read_head,
    relay_body,
    relay_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

    from local.azure.journal import Journal

IDLE_SECONDS = 3.0
"""Azurite closes a connection that was idle for 5 s; one used just before that would break."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what became of it, for the log."""

    request: Head
    caller: str = "-"
    status: int = 0
    sent_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def method(self) -> str:
        """GET, PUT, ..."""
        return self.request.first.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query, as they came."""
        return self.request.first.split(" ")[1]


class Azurite:
    """Connections to Azurite, kept while they are warm."""

    def __init__(self, port: int, authority: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._idle: list[tuple[float, Stream]] = []

    async def take(self) -> Stream:
        """An idle connection that still lives, or a new one."""
        while self._idle:
            since, stream = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and not stream.reader.at_eof():
                return stream
            stream.abort()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, limit=PIECE_BYTES
        )
        return Stream(reader=reader, writer=writer)

    def give_back(self, stream: Stream) -> None:
        """Keep it for the next request."""
        self._idle.append((time.monotonic(), stream))

    def close(self) -> None:
        """Drop all that are idle."""
        while self._idle:
            self._idle.pop()[1].abort()


class Gate:
    """Serves connections; `serve` is asyncio's client callback."""

    def __init__(self, doorkeeper: Doorkeeper, azurite: Azurite, faults: Faults, journal: Journal) -> None:
        self._doorkeeper = doorkeeper
        self._azurite = azurite
        self._faults = faults
        self._journal = journal
        self._clients: dict[asyncio.Task[None] | None, Stream] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        client = Stream(reader=reader, writer=writer)
        task = asyncio.current_task()
        self._clients[task] = client
        with suppress(PeerClosedError, MalformedHeadError, ConnectionError, ssl.SSLError):
            while head := await read_head(reader):
                if not await self._answer(client, head):
                    break
        client.writer.close()
        del self._clients[task]

    async def close(self) -> None:
        """Break what is still connected, and wait until its requests are in the log."""
        for client in self._clients.values():
            client.abort()
        await asyncio.gather(*(task for task in self._clients if task), return_exceptions=True)
        self._azurite.close()

    async def _answer(self, client: Stream, head: Head) -> bool:
        if len(head.first.split(" ")) != 3:  # noqa: PLR2004 - method, target, version
            raise MalformedHeadError(head.first[:80])
        exchange = Exchange(request=head)
        try:
            return await self._exchange(client, exchange)
        finally:
            self._log(exchange)

    async def _exchange(self, client: Stream, exchange: Exchange) -> bool:
        fault = self._faults.draw(Area.BLOB, exchange.method, exchange.target)
        if fault and fault.kind in (Kind.LATENCY, Kind.HANG):
            await asyncio.sleep(fault.seconds)
        verdict = self._doorkeeper.judge(
            BlobRequest(
                method=exchange.method,
                target=exchange.target,
                authorization=exchange.request.fields.get("authorization", ""),
            )
        )
        exchange.caller = verdict.caller
        if fault and fault.kind in (Kind.RESET, Kind.HANG):
            client.abort()
            return False
        if fault and fault.kind is Kind.STATUS:
            verdict = _injected(fault, verdict.caller)
        if isinstance(verdict, Refused):
            return await self._refuse(client, exchange, verdict, fault)
        return await self._pass_on(client, exchange, fault)

    async def _refuse(self, client: Stream, exchange: Exchange, refusal: Refused, fault: Rule | None) -> bool:
        exchange.status = refusal.status
        head = exchange.request
        # A body on its way that nobody reads would be answered by a reset instead of the refusal.
        waits = "expect" in head.fields
        if not waits and not head.is_chunked:
            await discard_body(head, client.reader)
        keeps = not (waits or head.is_chunked)
        client.writer.write(_refusal(refusal, exchange.method, fault, keeps=keeps))
        await client.writer.drain()
        return keeps

    async def _pass_on(self, client: Stream, exchange: Exchange, fault: Rule | None) -> bool:
        upstream, answer = await self._ask(client, exchange)
        exchange.status = int(answer.first.split(" ")[1])
        try:
            if fault and fault.kind is Kind.LOST_REPLY:
                upstream.abort()
                client.abort()
                return False
            client.writer.write(answer.raw)
            if exchange.method != "HEAD" and exchange.status not in BODILESS_STATUSES:
                exchange.sent_bytes = await self._relay(answer, upstream, client, fault)
            await client.writer.drain()
        except BaseException:
            upstream.abort()
            client.abort()
            raise
        if answer.closes:
            upstream.abort()
        else:
            self._azurite.give_back(upstream)
        return not (answer.closes or exchange.request.closes)

    async def _ask(self, client: Stream, exchange: Exchange) -> tuple[Stream, Head]:
        head = exchange.request
        while True:
            upstream = await self._azurite.take()
            try:
                upstream.writer.write(_without_expectation(head))
                if "expect" in head.fields:
                    client.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await relay_body(head, client.reader, upstream.writer)
                await upstream.writer.drain()
                answer = await read_head(upstream.reader)
            except BaseException:
                upstream.abort()
                raise
            if answer:
                return upstream, answer
            upstream.abort()
            # Azurite had just closed a kept connection; what had no body can be asked again.
            if head.length or head.is_chunked:
                raise PeerClosedError("Azurite closed the connection")

    async def _relay(self, answer: Head, upstream: Stream, client: Stream, fault: Rule | None) -> int:
        if fault and fault.kind is Kind.TRUNCATE and answer.length > fault.after_bytes:
            await relay_bytes(fault.after_bytes, upstream.reader, client.writer)
            raise PeerClosedError("truncated on demand")
        return await relay_body(answer, upstream.reader, client.writer)

    def _log(self, exchange: Exchange) -> None:
        url = urlsplit(exchange.target)
        self._journal.write(
            method=exchange.method,
            # Without its query: a signature would stand there.
            path=unquote(url.path),
            comp=parse_qs(url.query).get("comp", [None])[0],
            status=exchange.status,
            bytes=exchange.sent_bytes,
            seconds=round(time.monotonic() - exchange.began, 4),
            caller=exchange.caller,
            range=exchange.request.fields.get("x-ms-range") or exchange.request.fields.get("range"),
        )


def _without_expectation(head: Head) -> bytes:
    if "expect" not in head.fields:
        return head.raw
    lines = head.raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))


def _injected(fault: Rule, caller: str) -> Refused:
    code = "ServerBusy" if fault.status in (429, 503) else "InternalError"
    return Refused(
        caller=caller, status=fault.status, code=code, message="Injected through the control listener."
    )


def _refusal(refusal: Refused, method: str, fault: Rule | None, *, keeps: bool) -> bytes:
    request_id = uuid.uuid4()
    now = datetime.now(UTC)
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}\n"
        f"RequestId:{request_id}\nTime:{now.isoformat()}</Message></Error>"
    ).encode()
    fields = {
        "Content-Length": str(len(body)),
        "Content-Type": "application/xml",
        "x-ms-error-code": refusal.code,
        "x-ms-request-id": str(request_id),
        "x-ms-version": "2025-11-05",
        "Date": format_datetime(now, usegmt=True),
        "Connection": "keep-alive" if keeps else "close",
    }
    if refusal.status == 401:  # noqa: PLR2004 - Unauthorized
        fields["WWW-Authenticate"] = "Bearer resource_id=https://storage.azure.com"
    if fault and fault.retry_after_seconds is not None:
        fields["Retry-After"] = str(fault.retry_after_seconds)
    lines = [
        f"HTTP/1.1 {refusal.status} {refusal.code}",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if method == "HEAD" else head + body
