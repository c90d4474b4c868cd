"""The gate's connections to Azurite: kept while they are warm, asked again where one had just been closed."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING

from local.azure.http1 import PIECE_BYTES, Head, PeerClosedError, Stream, Tally, read_head, relay_body

if TYPE_CHECKING:
    from pathlib import Path

IDLE_SECONDS = 3.0
"""Azurite closes a connection that was idle for 5 s; one used just before that would break."""


class AzuriteDownError(Exception):
    """Nobody listens on Azurite's port."""


class Azurite:
    """A pool of connections over TLS."""

    def __init__(self, port: int, authority: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._idle: list[tuple[float, Stream]] = []

    async def ask(self, request: Head, body: asyncio.StreamReader, received: Tally) -> tuple[Stream, Head]:
        """Pass a request on; the answer's body is still to be read from the stream.

        Raises AzuriteDownError, or PeerClosedError when Azurite went away before it answered.
        """
        stream = self._take_idle()
        if stream is not None:
            answer = await _attempt(stream, request, body, received)
            if answer is not None:
                return stream, answer
            # It had just been closed, and so have the others; what had no body can be asked again.
            self.close()
            if request.has_body:
                raise PeerClosedError("Azurite closed the connection")
        stream = await self._connect()
        answer = await _attempt(stream, request, body, received)
        if answer is None:
            raise PeerClosedError("Azurite closed the connection")
        return stream, answer

    def give_back(self, stream: Stream) -> None:
        """Keep it for the next request."""
        self._idle.append((time.monotonic(), stream))

    def close(self) -> None:
        """Drop all that are idle."""
        while self._idle:
            self._idle.pop()[1].abort()

    def _take_idle(self) -> Stream | None:
        while self._idle:
            since, stream = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and not stream.reader.at_eof():
                return stream
            stream.abort()
        return None

    async def _connect(self) -> Stream:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._context, limit=PIECE_BYTES
            )
        except ConnectionRefusedError as error:
            raise AzuriteDownError(f"nobody listens on port {self._port}") from error
        return Stream(reader=reader, writer=writer)


async def _attempt(stream: Stream, request: Head, body: asyncio.StreamReader, received: Tally) -> Head | None:
    try:
        stream.writer.write(_without_expectation(request))
        await relay_body(request, body, stream.writer, received)
        await stream.writer.drain()
        answer = await read_head(stream.reader)
    except ConnectionResetError:
        answer = None
    except BaseException:
        stream.abort()
        raise
    if answer is None:
        stream.abort()
    return answer


def _without_expectation(head: Head) -> bytes:
    # The gate has said `100 Continue` itself.
    if "expect" not in head.fields:
        return head.raw
    return b"\r\n".join(line for line in head.raw.split(b"\r\n") if not line.lower().startswith(b"expect:"))
