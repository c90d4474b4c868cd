"""Writing dirty pages out bit by bit, so that they are bounded and yet nobody waits for a flush.

`fdatasync` would do more than that, at each call: commit the journal, and empty the disk's own cache. What
is written out here is in order, not durable: `fsync` makes it so, once per file, before it is believed.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

from .answering import heeding_signals

if TYPE_CHECKING:
    from pathlib import Path

SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WRITE_AND_WAIT = 7

_libc: Any = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def flush(path: Path) -> None:
    """Have a whole file on the disk before it is believed; a slow disk keeps no signal waiting."""

    def sync() -> None:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())

    heeding_signals(sync)


class Flusher:
    """Keeps at most two windows of an open file dirty: one that fills, and one on its way to the disk."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor = descriptor
        self._settled = self._started = start

    def reach(self, end: int) -> None:
        """Start to write out what is new up to `end`, and wait for what was started before.

        Raises:
            OSError: the disk did not take it.
        """
        self._sync(self._started, end, SYNC_FILE_RANGE_WRITE)
        self._sync(self._settled, self._started, SYNC_FILE_RANGE_WRITE_AND_WAIT)
        self._settled, self._started = self._started, end

    def _sync(self, start: int, end: int, flags: int) -> None:
        # A length of 0 would mean all the rest of the file.
        if start < end and _libc.sync_file_range(self._descriptor, start, end - start, flags):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
