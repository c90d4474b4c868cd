"""The blob gate: TLS over Azurite, a doorkeeper before each request, a log line after.

As thin as it can be: bodies pass through in pieces. The bearer token goes on to Azurite, which has OAuth
switched on and looks at it once more.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote

from local.azure.admission import Admitted, BlobRequest, Doorkeeper
from local.azure.faults import Area, Faults, Kind, Rule
from local.azure.http1 import (
    BODILESS_STATUSES,
    Head,
    MalformedHeadError,
    PeerClosedError,
    Stream,
    Tally,
    discard_body,
    read_head,
    relay_body,
    relay_bytes,
)
from local.azure.refusals import Refused, on_the_wire
from local.azure.upstream import Azurite, AzuriteDownError

if TYPE_CHECKING:
    from local.azure.journal import Journal

USUAL_CODES = {403: "AuthorizationFailure", 404: "BlobNotFound", 429: "ServerBusy", 503: "ServerBusy"}
"""What Azure Storage calls an injected status."""

MALFORMED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request, and what became of it."""

    client: Stream
    request: Head
    method: str
    target: str
    fault: Rule | None
    caller: str = "-"
    status: int = 0
    received: Tally = field(default_factory=Tally)
    sent: Tally = field(default_factory=Tally)
    began: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        """Unquoted, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """What follows the path."""
        return self.target.partition("?")[2]

    def suffers(self, *kinds: Kind) -> bool:
        """Whether a fault of such a kind was drawn for it."""
        return self.fault is not None and self.fault.kind in kinds


class Gate:
    """Serves connections; `serve` is asyncio's client callback."""

    def __init__(self, doorkeeper: Doorkeeper, azurite: Azurite, faults: Faults, journal: Journal) -> None:
        self._doorkeeper = doorkeeper
        self._azurite = azurite
        self._faults = faults
        self._journal = journal
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        client = Stream(reader=reader, writer=writer)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._serving.add(task)
        try:
            while (head := await read_head(reader)) and await self._answer(client, head):
                pass
        except MalformedHeadError:
            writer.write(MALFORMED)
        except (PeerClosedError, ConnectionError, ssl.SSLError):
            pass  # One side went away in the middle: closing tells the other, the log has the bytes.
        except asyncio.CancelledError:
            client.abort()  # Only `close` cancels, and waits: the task may end as if nothing were wrong.
        finally:
            writer.close()
            self._serving.discard(task)

    async def close(self) -> None:
        """Break what is still connected, and wait until its requests are in the log."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)
        self._azurite.close()

    async def _answer(self, client: Stream, head: Head) -> bool:
        """Serve one request; says whether the connection can be used again."""
        method, target = head.request_line()
        fault = self._faults.draw(Area.BLOB, method, target)
        exchange = Exchange(client=client, request=head, method=method, target=target, fault=fault)
        try:
            if fault:
                await self._faults.pause(fault)
            verdict = self._judge(exchange)
            exchange.caller = verdict.caller
            if exchange.suffers(Kind.RESET, Kind.HANG):
                client.abort()
                return False
            if isinstance(verdict, Refused):
                return await _refuse(exchange, verdict)
            return await self._pass_on(exchange)
        finally:
            self._log(exchange)

    def _judge(self, exchange: Exchange) -> Refused | Admitted:
        verdict = self._doorkeeper.judge(
            BlobRequest(
                method=exchange.method,
                path=exchange.path,
                query=exchange.query,
                authorization=exchange.request.fields.get("authorization", ""),
            )
        )
        if exchange.fault and exchange.suffers(Kind.STATUS):
            return _injected(exchange.fault, verdict.caller)
        return verdict

    async def _pass_on(self, exchange: Exchange) -> bool:
        client, request = exchange.client, exchange.request
        if request.waits:
            client.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            upstream, answer = await self._azurite.ask(request, client.reader, exchange.received)
        except AzuriteDownError as error:
            return await _refuse(exchange, _unreachable(exchange, str(error)))
        exchange.status = answer.status()
        try:
            await _relay_answer(exchange, answer, upstream)
        except BaseException:
            upstream.abort()
            raise
        if answer.closes:
            upstream.abort()
        else:
            self._azurite.give_back(upstream)
        return not (answer.closes or request.closes)

    def _log(self, exchange: Exchange) -> None:
        self._journal.write(
            method=exchange.method,
            # Without its query: a signature would stand there.
            path=exchange.path,
            comp=parse_qs(exchange.query).get("comp", [None])[0],
            status=exchange.status,
            bytes=exchange.sent.payload_bytes,
            received_bytes=exchange.received.payload_bytes,
            seconds=round(time.monotonic() - exchange.began, 4),
            caller=exchange.caller,
            range=exchange.request.fields.get("x-ms-range") or exchange.request.fields.get("range"),
        )


async def _refuse(exchange: Exchange, refusal: Refused) -> bool:
    exchange.status = refusal.status
    request, client = exchange.request, exchange.client
    keeps = not (request.waits or request.is_chunked)
    if keeps:
        # A body on its way that nobody reads would be answered by a reset instead of the refusal.
        await discard_body(request, client.reader)
    answer = on_the_wire(refusal, with_body=exchange.method != "HEAD", keeps_connection=keeps)
    client.writer.write(answer)
    await client.writer.drain()
    return keeps


async def _relay_answer(exchange: Exchange, answer: Head, upstream: Stream) -> None:
    writer = exchange.client.writer
    if exchange.suffers(Kind.LOST_REPLY):
        exchange.client.abort()
        raise PeerClosedError("the reply was lost on demand")
    writer.write(answer.raw)
    if exchange.method != "HEAD" and exchange.status not in BODILESS_STATUSES:
        if exchange.fault and exchange.suffers(Kind.TRUNCATE):
            await relay_bytes(
                min(exchange.fault.after_bytes, answer.length), upstream.reader, writer, exchange.sent
            )
            raise PeerClosedError("the body was cut on demand")
        await relay_body(answer, upstream.reader, writer, exchange.sent)
    await writer.drain()


def _injected(fault: Rule, caller: str) -> Refused:
    return Refused(
        caller=caller,
        status=fault.status,
        code=fault.code or USUAL_CODES.get(fault.status, "InternalError"),
        message="Injected through the control listener.",
        retry_after_seconds=fault.retry_after_seconds,
    )


def _unreachable(exchange: Exchange, why: str) -> Refused:
    message = f"Azurite does not answer: {why}."
    return Refused(caller=exchange.caller, status=503, code="ServerBusy", message=message)
