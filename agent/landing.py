"""One block on its way to the disk: written, digested, marked, and resumed where it stopped.

Writing out every few MiB bounds the dirty pages of a node that serves searches to that much per worker, so
that the kernel never stalls everybody to write gigabytes back; the pages themselves stay cached, for the
searches to come.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .blobs import CHUNK_BYTES, Range
from .errors import Damaged
from .flushing import Flusher
from .ledger import Mark
from .space import disk_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .crew import Shift
    from .ledger import Block, Ledger
    from .pacing import Pace
    from .tally import Tally

# One that fills and one on its way to the disk: a worker has 8 MiB of dirty pages at most.
WINDOW_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Who does the work, at which pace, and where it is counted."""

    shift: Shift
    tally: Tally
    pace: Pace


class Landing:
    """A block of a staged file that is open for writing."""

    def __init__(self, block: Block, ledger: Ledger, descriptor: int, hand: Hand) -> None:
        self._block = block
        self._ledger = ledger
        self._descriptor = descriptor
        self._hand = hand
        self._flusher = Flusher(descriptor, block.start)
        self._digest = hashlib.sha256()
        self.written = 0
        self._counted = 0

    @property
    def left(self) -> int:
        """Bytes of the block that are still to come."""
        return self._block.length - self.written

    def next_range(self, most: int) -> Range:
        """What to ask the account for next."""
        return Range(start=self._block.start + self.written, length=min(self.left, most))

    def resume(self) -> None:
        """Take up what an earlier look left, if its bytes are still what they were."""
        mark = self._ledger.mark(self._block.index)
        self._rehash(min(mark.written, self._block.length))
        if self.written and mark.digest != self._digest.digest():
            # A power cut took bytes that were marked, or somebody touched them.
            self._digest, self.written = hashlib.sha256(), 0
        self._count(self.written)

    def take(self, chunk: memoryview) -> None:
        """Put the next bytes where they belong."""
        self._hand.shift.check()
        self._hand.tally.add(self._hand.shift.worker, "fetched", len(chunk))
        with self._writing(len(chunk)):
            _write_all(self._descriptor, chunk, self._block.start + self.written)
        self._digest.update(chunk)
        self.written += len(chunk)
        self._count(len(chunk))
        if self.written // WINDOW_BYTES > (self.written - len(chunk)) // WINDOW_BYTES or not self.left:
            self._write_out()
        self._mark()
        self._hand.pace.wait_for(len(chunk))

    def leave(self) -> None:
        """Somebody else will take up what is not complete, and count it."""
        if self.left:
            self._count(-self._counted)

    def _count(self, length: int) -> None:
        self._counted += length
        self._hand.tally.add(self._hand.shift.worker, "landed", length)

    def _write_out(self) -> None:
        with self._writing(0):
            self._flusher.reach(self._block.start + self.written)

    def _mark(self) -> None:
        mark = Mark(written=self.written, digest=self._digest.digest())
        with self._writing(0):
            self._ledger.set_mark(self._block.index, mark)

    def _rehash(self, length: int) -> None:
        while self.written < length:
            self._hand.shift.check()
            size = min(CHUNK_BYTES, length - self.written)
            chunk = os.pread(self._descriptor, size, self._block.start + self.written)
            if len(chunk) < size:
                raise Damaged(f"the staged {self._block.file.name} was cut short by another hand")
            self._digest.update(chunk)
            self.written += size

    @contextmanager
    def _writing(self, count: int) -> Iterator[None]:
        """Time a write, and name a full disk."""
        began = time.monotonic()
        try:
            yield
        except OSError as error:
            raise disk_full(error, self._block.file.name) or error from error
        tally, worker = self._hand.tally, self._hand.shift.worker
        tally.add(worker, "written", count)
        tally.add(worker, "writing_microseconds", int((time.monotonic() - began) * 1e6))


def _write_all(descriptor: int, chunk: memoryview, offset: int) -> None:
    """`pwrite` may write less than it was given when the disk is nearly full."""
    while chunk:
        count = os.pwrite(descriptor, chunk, offset)
        chunk, offset = chunk[count:], offset + count
