"""HTTP/1.1 on asyncio streams, only as much as a relay needs: heads are read, bodies pass through unread.

Nothing here knows about blobs. A body is never held: what arrives is handed on in pieces, at the pace of
the slower side.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_LIMIT_BYTES = 64 * 1024
"""Azure refuses longer heads as well; a bearer token is 2 KiB."""

PIECE_BYTES = 256 * 1024
"""One read of asyncio's TLS layer; smaller pieces cost a wake-up each."""

LENGTH_DIGITS = 18
"""More than an exabyte is no length; and Python refuses numbers of thousands of digits."""

BODILESS_STATUSES = frozenset({204, 304})


class MalformedHeadError(Exception):
    """The peer does not speak HTTP/1.1."""


class PeerClosedError(Exception):
    """The peer went away in the middle of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request's or an answer's first line and fields; `raw` is what stood on the wire."""

    first: str
    fields: Mapping[str, str]
    raw: bytes

    @property
    def is_chunked(self) -> bool:
        """Whether the body says its length piece by piece."""
        return self.fields.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int:
        """How many bytes of body follow, unless chunked."""
        return int(self.fields.get("content-length", "0"))

    @property
    def has_body(self) -> bool:
        """Whether anything follows the head."""
        return self.is_chunked or self.length > 0

    @property
    def waits(self) -> bool:
        """Whether the peer holds its body back until it is told to go on."""
        return "expect" in self.fields

    def request_line(self) -> tuple[str, str]:
        """Method and target; raises MalformedHeadError."""
        words = self.first.split(" ")
        if len(words) != len(("method", "target", "version")):
            raise MalformedHeadError(f"not a request: {self.first[:80]!r}")
        return words[0], words[1]

    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.fields.get("connection", "").lower() == "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Both directions of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abort(self) -> None:
        """End it without a goodbye: what is still to be sent is dropped."""
        self.writer.transport.abort()


@dataclass(slots=True)
class Tally:
    """Counts what a body carried, also when it broke off."""

    payload_bytes: int = 0


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head, or None when the peer is done; raises MalformedHeadError, PeerClosedError."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise PeerClosedError("the connection ended inside a head") from end
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedHeadError("the head is too long") from error
    if len(raw) > HEAD_LIMIT_BYTES:
        raise MalformedHeadError("the head is too long")
    return parse_head(raw)


def parse_head(raw: bytes) -> Head:
    r"""Parse a head; raises MalformedHeadError.

    >>> parse_head(b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n").length
    3
    """
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedHeadError(f"not a field: {line[:80]!r}")
        fields[name.strip().lower()] = value.strip()
    length = fields.get("content-length", "0")
    if not length.isdecimal() or len(length) > LENGTH_DIGITS:
        raise MalformedHeadError("Content-Length is not a number")
    return Head(first=first, fields=fields, raw=raw)


async def relay_body(
    head: Head, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tally: Tally
) -> None:
    """Hand on the body that `head` announces; raises PeerClosedError when the source ends before."""
    if head.is_chunked:
        await _relay_chunks(source, sink, tally)
    else:
        await relay_bytes(head.length, source, sink, tally)


async def relay_bytes(
    count: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tally: Tally
) -> None:
    """Hand on `count` bytes; raises PeerClosedError when the source ends before."""
    left = count
    while left:
        piece = await source.read(min(left, PIECE_BYTES))
        if not piece:
            raise PeerClosedError(f"{left} of {count} bytes never came")
        sink.write(piece)
        await sink.drain()
        left -= len(piece)
        tally.payload_bytes += len(piece)


async def discard_body(head: Head, source: asyncio.StreamReader) -> None:
    """Read past a body that nobody wants, so that the connection can be used again."""
    left = head.length
    while left:
        piece = await source.read(min(left, PIECE_BYTES))
        if not piece:
            raise PeerClosedError("the connection ended inside a body")
        left -= len(piece)


async def _relay_chunks(source: asyncio.StreamReader, sink: asyncio.StreamWriter, tally: Tally) -> None:
    size = 1
    while size:
        line = await _read_line(source)
        sink.write(line)
        size = _chunk_size(line)
        await relay_bytes(size, source, sink, tally)
        # The line break that closes a chunk; after the last chunk it ends the message.
        await relay_bytes(2, source, sink, Tally())


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise MalformedHeadError(f"not a chunk size: {line[:20]!r}") from error


async def _read_line(source: asyncio.StreamReader) -> bytes:
    try:
        return await source.readuntil(b"\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise PeerClosedError("the connection ended inside a chunk") from error
