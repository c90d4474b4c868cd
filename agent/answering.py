"""A limit for a whole answer: the timeout of a socket begins anew with each byte, however they drip."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Heads and tokens are answered in milliseconds; a metadata service that is busy takes some seconds.
ANSWER_SECONDS = 15.0


@contextmanager
def in_time(wire: socket.socket) -> Iterator[None]:
    """Cut the wire when the block takes too long.

    Raises:
        TimeoutError: it did, whatever became of the block.
    """
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            # Not TLS's own farewell: nobody may be listening.
            socket.socket.shutdown(wire, socket.SHUT_RDWR)

    timer = threading.Timer(ANSWER_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            raise TimeoutError(f"no whole answer within {ANSWER_SECONDS:.0f} s")
