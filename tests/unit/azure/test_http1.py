from __future__ import annotations

import asyncio

import pytest

from local.azure.http1 import (
    MalformedHeadError,
    PeerClosedError,
    Tally,
    parse_head,
    read_head,
    relay_body,
)

CHUNKED = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
FIVE = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")


class Sink(asyncio.StreamWriter):
    """Keeps what is written; a connection is not needed to count bytes."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.content += bytes(data)

    async def drain(self) -> None:
        return

    def __del__(self) -> None:
        """Nothing was opened."""


def relayed(head_of: object, sent: bytes) -> tuple[bytes, int]:
    async def relay() -> tuple[bytes, int]:
        source, sink, tally = asyncio.StreamReader(), Sink(), Tally()
        source.feed_data(sent)
        source.feed_eof()
        await relay_body(CHUNKED if head_of is CHUNKED else FIVE, source, sink, tally)
        return sink.content, tally.payload_bytes

    return asyncio.run(relay())


def test_a_body_of_known_length_ends_there() -> None:
    assert relayed(FIVE, b"12345HTTP/1.1") == (b"12345", 5)


def test_chunks_pass_with_their_framing_and_count_without() -> None:
    assert relayed(CHUNKED, b"3;x=y\r\nabc\r\n0\r\n\r\nHTTP") == (b"3;x=y\r\nabc\r\n0\r\n\r\n", 3)


@pytest.mark.parametrize("sent", [b"1234", b""])
def test_a_body_that_ends_early_is_noticed(sent: bytes) -> None:
    with pytest.raises(PeerClosedError, match="never came"):
        relayed(FIVE, sent)


@pytest.mark.parametrize("sent", [b"3\r\nab", b"3"])
def test_chunks_that_end_early_are_noticed(sent: bytes) -> None:
    with pytest.raises(PeerClosedError):
        relayed(CHUNKED, sent)


def test_a_chunk_without_a_size_is_malformed() -> None:
    with pytest.raises(MalformedHeadError, match="not a chunk size"):
        relayed(CHUNKED, b"many\r\n")


def next_head(sent: bytes) -> object:
    async def read() -> object:
        source = asyncio.StreamReader()
        source.feed_data(sent)
        source.feed_eof()
        return await read_head(source)

    return asyncio.run(read())


def test_a_connection_that_ends_between_messages_is_no_error() -> None:
    assert next_head(b"") is None


def test_a_connection_that_ends_inside_a_head_is_one() -> None:
    with pytest.raises(PeerClosedError):
        next_head(b"GET / HTTP/1.1\r\nHost")


def test_field_names_have_no_case_and_values_no_edges() -> None:
    head = parse_head(b"GET /a HTTP/1.1\r\nX-Ms-RANGE:  bytes=0-1 \r\n\r\n")

    assert head.fields == {"x-ms-range": "bytes=0-1"}
    assert head.request_line() == ("GET", "/a")
    assert not head.has_body
