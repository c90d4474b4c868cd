"""Limits while others answer: a socket's timeout begins anew with each byte, a name service knows none."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Heads and tokens are answered in milliseconds; a metadata service that is busy takes some seconds.
ANSWER_SECONDS = 15.0
HEED_SECONDS = 0.5


def heeding_signals(ask: Callable[[], None]) -> None:
    """Call `ask`, and hear signals meanwhile: a name service that is silent must not keep them waiting.

    Raises:
        Exception: whatever `ask` raised.
    """
    raised: list[Exception] = []

    def asking() -> None:
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(HEED_SECONDS)
    if raised:
        raise raised[0]


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
