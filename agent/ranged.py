"""The agent's own engine: ranges of all missing files at once, straight into preallocated ones."""

from __future__ import annotations

import os
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .blobs import CHUNK_BYTES, Account, BlobReader
from .crew import Crew, Shift, crew_size
from .errors import MayPass, Network, Throttled
from .landing import Hand, Landing
from .ledger import BLOCK_BYTES, Block, Ledger, blocks_of
from .pacing import connections_within, pace_for
from .space import allocate
from .tally import Counts, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .manifest import File
    from .places import Places

MOST_CONNECTIONS = 32
# Of the missing bytes: what a kill may waste, asked for and not yet marked, over all connections.
WASTE = 0.01
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
# With the pauses above: about five minutes in which not one byte of a block arrives.
MOST_FAILURES = 15


class Ranged:
    """Fetches files by parallel ranged reads."""

    def __init__(self, account: Account, places: Places, ceiling_bytes_per_second: float | None) -> None:
        self._account = account
        self._places = places
        self._pace = pace_for(ceiling_bytes_per_second)
        self._size = crew_size(connections_within(ceiling_bytes_per_second, MOST_CONNECTIONS))
        self._tally = Tally(self._size.workers)
        self._request_bytes = BLOCK_BYTES
        self._of_thread = threading.local()

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what has not yet landed of `files`.

        Safe to repeat after any end: blocks that landed are hashed, not fetched again.
        """
        blocks = [block for file in files for block in self._open(file)]
        self._tally.clear("landed")
        self._request_bytes = request_bytes(sum(block.length for block in blocks), self._size.workers)
        crew = Crew(blocks, self._fetch, self._size)

        def report() -> None:
            unfinished = {blocks[index].file.name for index in crew.unfinished()}
            watch(self._tally.counts(files=len(files) - len(unfinished)))

        crew.run(report)
        report()

    def _open(self, file: File) -> list[Block]:
        # The ledger must speak of this blob before several workers open it at once.
        with Ledger(self._places.ledger(file.name), file):
            allocate(file, self._places)
        return blocks_of(file)

    def _fetch(self, block: Block, shift: Shift) -> None:
        with self._landing(block, shift) as landing:
            if landing.resume():
                return
            patience = Patience()
            while landing.left:
                before = landing.written
                try:
                    self._reader().read(block.file, landing.next_range(self._request_bytes), landing.take)
                except (Network, Throttled) as error:
                    self._tally.add(shift.worker, "retries", 1)
                    shift.pause(patience.after(error, progressed=landing.written > before))
            landing.seal()

    def _reader(self) -> BlobReader:
        if not hasattr(self._of_thread, "reader"):
            self._of_thread.reader = BlobReader(self._account)
        reader: BlobReader = self._of_thread.reader
        return reader

    @contextmanager
    def _landing(self, block: Block, shift: Shift) -> Iterator[Landing]:
        name = block.file.name
        with Ledger(self._places.ledger(name), block.file) as ledger:
            descriptor = os.open(self._places.staged(name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                yield Landing(
                    block, ledger, descriptor, Hand(shift=shift, tally=self._tally, pace=self._pace)
                )
            finally:
                os.close(descriptor)


@dataclass(slots=True)
class Patience:
    """How long to wait after a failure, and when to give up."""

    failures: int = 0

    def after(self, error: MayPass, *, progressed: bool) -> float:
        """Seconds to pause before the next try.

        Raises:
            MayPass: `error` itself, when nothing arrived for too many tries.
        """
        self.failures = 1 if progressed else self.failures + 1
        if self.failures > MOST_FAILURES:
            raise error
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing


def request_bytes(missing: int, workers: int) -> int:
    """How much to ask for at once, so that a kill wastes little.

    >>> request_bytes(292_365_689_731, 32) == BLOCK_BYTES
    True
    >>> request_bytes(100_000_000, 8) == CHUNK_BYTES
    True
    """
    return max(CHUNK_BYTES, min(BLOCK_BYTES, int(missing * WASTE / workers)))
