"""A ceiling in bytes per second that all workers of a node share."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# Below this rate per connection a further connection only adds bytes in flight above the ceiling.
BYTES_PER_SECOND_OF_A_CONNECTION = 8_000_000
# What a connection has in hand when a window of 10 s begins comes on top: 256 KiB are 2.6 % of the lowest
# ceiling, 1 MB/s.
SHARE = 0.97
# Of which boot a time is, and the time.
BOOT = Path("/proc/sys/kernel/random/boot_id")
BOOT_BYTES = 36
SLOT = struct.Struct(f"<{BOOT_BYTES}sd")


class Pace(Protocol):
    """Says when the next bytes may be taken from the wire."""

    def wait_for(self, count: int) -> None:
        """Return when `count` more bytes may be read."""


class Unlimited:
    """No ceiling."""

    def wait_for(self, count: int) -> None:
        """Return at once."""


class Ceiling:
    """Hands out the time line in slots: no burst is ever saved up, so no window exceeds the rate.

    The time line is in a file, so that all workers of all agents on the node share it. Where their ceilings
    differ, the node stays below the highest.
    """

    def __init__(self, bytes_per_second: float, file: Path) -> None:
        self._rate = bytes_per_second * SHARE
        self._file = file
        # Threads of a process share its lock of the file; processes do not.
        self._threads = threading.Lock()
        self._descriptor: int | None = None

    def wait_for(self, count: int) -> None:
        """Take the next free slot, and sleep until it begins."""
        with self._threads, self._alone() as descriptor:
            # CLOCK_MONOTONIC is the same for all processes of a machine, until it is started again.
            now, boot = time.monotonic(), BOOT.read_bytes()[:BOOT_BYTES]
            content = os.pread(descriptor, SLOT.size, 0)
            of_boot, free_from = SLOT.unpack(content) if len(content) == SLOT.size else (b"", 0.0)
            begins = max(now, free_from) if of_boot == boot else now
            os.pwrite(descriptor, SLOT.pack(boot, begins + count / self._rate), 0)
        time.sleep(max(0.0, begins - now))

    @contextmanager
    def _alone(self) -> Iterator[int]:
        if self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield self._descriptor
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def pace_for(bytes_per_second: float | None, file: Path) -> Pace:
    """The pace for an optional ceiling, kept in `file`."""
    return Ceiling(bytes_per_second, file) if bytes_per_second else Unlimited()


def connections_within(bytes_per_second: float | None, most: int) -> int:
    """How many connections make sense under a ceiling.

    >>> connections_within(20e6, 16), connections_within(None, 16)
    (2, 16)
    """
    if bytes_per_second is None:
        return most
    return max(1, min(most, int(bytes_per_second // BYTES_PER_SECOND_OF_A_CONNECTION)))
