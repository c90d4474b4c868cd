"""A ceiling in bytes per second that all workers of a node share."""

from __future__ import annotations

import multiprocessing
import time
from typing import Protocol

# Below this rate per connection a further connection only adds bytes in flight above the ceiling.
BYTES_PER_SECOND_OF_A_CONNECTION = 8_000_000
# What a connection has in hand when a window of 10 s begins comes on top: 256 KiB are 2.6 % of the lowest
# ceiling, 1 MB/s.
SHARE = 0.97


class Pace(Protocol):
    """Says when the next bytes may be taken from the wire."""

    def wait_for(self, count: int) -> None:
        """Return when `count` more bytes may be read."""


class Unlimited:
    """No ceiling."""

    def wait_for(self, count: int) -> None:
        """Return at once."""


class Ceiling:
    """Hands out the time line in slots: no burst is ever saved up, so no window exceeds the rate."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second * SHARE
        # CLOCK_MONOTONIC is the same for all processes of a machine.
        self._free_from = multiprocessing.get_context("fork").Value("d", 0.0)

    def wait_for(self, count: int) -> None:
        """Take the next free slot, and sleep until it begins."""
        with self._free_from.get_lock():
            now = time.monotonic()
            begins = max(now, self._free_from.value)
            self._free_from.value = begins + count / self._rate
        time.sleep(max(0.0, begins - now))


def pace_for(bytes_per_second: float | None) -> Pace:
    """The pace for an optional ceiling."""
    return Ceiling(bytes_per_second) if bytes_per_second else Unlimited()


def connections_within(bytes_per_second: float | None, most: int) -> int:
    """How many connections make sense under a ceiling.

    >>> connections_within(20e6, 16), connections_within(None, 16)
    (2, 16)
    """
    if bytes_per_second is None:
        return most
    return max(1, min(most, int(bytes_per_second // BYTES_PER_SECOND_OF_A_CONNECTION)))
