"""The agent's own engine: ranges of all missing files at once, straight into preallocated ones."""

from __future__ import annotations

import os
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .blobs import Account, BlobReader
from .crew import Crew, Shift, crew_size
from .errors import MayPass, Network, RoleMissing, StorageClosed, Throttled
from .landing import Hand, Landing
from .ledger import BLOCK_BYTES, Block, Ledger, blocks_of
from .pacing import connections_within, pace_for
from .space import allocate
from .tally import Counts, Tally
from .troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .manifest import File
    from .places import Places

MOST_CONNECTIONS = 32
# Of the missing bytes: what a kill may waste, asked for and not yet marked, over all connections.
WASTE = 0.01
# Beyond this an agent that is killed all the time would crawl, and waste nothing that counts.
MOST_HALVINGS = 6
# Smaller requests cost more in headers and turns than they save: rather fewer connections.
SMALL_REQUEST_BYTES = 16 * 1024
# Even a single connection must get on: this much may be wasted by a kill however small the database is.
SMALLEST_REQUEST_BYTES = 4 * 1024
# What of one answer can be on its way at most: our receive buffer, and what a sender buffers for it.
MOST_ON_THE_WAY_BYTES = 2 * 1024 * 1024
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
# With the pauses above: about five minutes in which not one byte of a block arrives.
MOST_FAILURES = 16
# Front ends learn of a grant or a rule one by one; when some in a row refuse, the look waits as a whole.
MOST_REFUSALS = 5


class Ranged:
    """Fetches files by parallel ranged reads."""

    name = "ranged"

    def __init__(self, account: Account, places: Places, ceiling_bytes_per_second: float | None) -> None:
        self._account = account
        self._places = places
        self._pace = pace_for(ceiling_bytes_per_second, places.pace)
        self._most = crew_size(connections_within(ceiling_bytes_per_second, MOST_CONNECTIONS)).workers
        self._tally = Tally(self._most)
        self._troubles = Troubles(self._most)
        self._request_bytes = BLOCK_BYTES
        self._starts = 0
        self._of_thread = threading.local()

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what has not yet landed of `files`.

        Safe to repeat after any end: blocks that landed are hashed, not fetched again.
        """
        missing = sum(self._open(file) for file in files)
        self._starts = self._starts or self._places.count_start()
        effort = effort_for(missing, self._starts, self._most)
        self._request_bytes = effort.request_bytes
        self._tally.clear("landed")
        self._troubles = Troubles(self._most)
        blocks = in_turns(files, abreast=effort.connections)
        crew = Crew(blocks, self._fetch, crew_size(effort.connections))

        def report() -> None:
            unfinished = {blocks[index].file.name for index in crew.unfinished()}
            counts = self._tally.counts(files=len(files) - len(unfinished))
            watch(replace(counts, trouble=self._troubles.any()))

        crew.run(report)
        report()

    def _open(self, file: File) -> int:
        """Prepare the staged file and its ledger before several workers open them; bytes still to fetch."""
        with Ledger(self._places.ledger(file.name), file) as ledger:
            allocate(file, self._places)
            return file.size - sum(ledger.mark(block.index).written for block in blocks_of(file))

    def _fetch(self, block: Block, shift: Shift) -> None:
        with self._landing(block, shift) as landing:
            landing.resume()
            patience = Patience()
            while landing.left:
                try:
                    self._reader().read(block.file, landing.next_range(self._request_bytes), landing.take)
                except (Network, Throttled, StorageClosed, RoleMissing) as error:
                    self._tally.add(shift.worker, "retries", 1)
                    pause = patience.after(error, landing.written)
                    self._troubles.tell(shift.worker, error)
                    shift.pause(pause)
                else:
                    self._troubles.forget(shift.worker)

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
            hand = Hand(shift=shift, tally=self._tally, pace=self._pace)
            landing = Landing(block, ledger, descriptor, hand)
            try:
                yield landing
            finally:
                landing.leave()
                os.close(descriptor)


def in_turns(files: Sequence[File], abreast: int) -> list[Block]:
    """The blocks of so many files at a time, one of each in turn: writers to one file wait for its lock."""
    groups = (files[first : first + abreast] for first in range(0, len(files), abreast))
    return [
        block
        for group in groups
        for block in sorted((b for file in group for b in blocks_of(file)), key=lambda b: b.index)
    ]


@dataclass(slots=True)
class Patience:
    """How long to wait after a failure, and when to give up."""

    failures: int = 0
    written: int = 0

    def after(self, error: MayPass, written: int) -> float:
        """Seconds to pause before the next try; every byte that arrived restores the patience.

        Raises:
            MayPass: `error` itself, when nothing arrived for too many tries.
        """
        self.failures = 1 if written > self.written else self.failures + 1
        self.written = written
        refused = isinstance(error, StorageClosed | RoleMissing)
        if self.failures > (MOST_REFUSALS if refused else MOST_FAILURES):
            raise error
        pause: float = min(FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing
        # An account that asks for less patience than we have is not given less: else we would soon have none.
        return max(error.retry_after_seconds or 0, pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How many ask at once, and for how much."""

    connections: int
    request_bytes: int


def effort_for(missing: int, starts: int, most_connections: int) -> Effort:
    """As much as can be asked for at once without a kill wasting more than its share.

    Each look that ends early halves the share of the next: however often an agent is killed, all of it
    together stays below twice the share of the first.

    >>> effort_for(292_365_689_731, 1, 32).request_bytes == BLOCK_BYTES
    True
    >>> effort_for(18_000_000, 1, 32)
    Effort(connections=10, request_bytes=18000)
    >>> effort_for(18_000_000, 4, 32)
    Effort(connections=1, request_bytes=22500)
    """
    wasted = int(missing * WASTE / 2 ** min(starts - 1, MOST_HALVINGS))
    connections = min(most_connections, max(1, wasted // SMALL_REQUEST_BYTES))
    share = max(SMALLEST_REQUEST_BYTES, wasted // connections)
    request = BLOCK_BYTES if share >= MOST_ON_THE_WAY_BYTES else share
    return Effort(connections=connections, request_bytes=request)
