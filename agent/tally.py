"""Counts that many workers add to and one watcher reads, without a lock.

Each worker adds to a row of its own in memory shared by fork; the watcher adds the rows up. No worker that
is killed while counting can hold the others or the watcher back.
"""

from __future__ import annotations

import mmap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .errors import AgentError

Field = Literal["landed", "fetched", "retries", "written", "writing_microseconds"]
FIELDS: tuple[Field, ...] = ("landed", "fetched", "retries", "written", "writing_microseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a crew has done so far."""

    files: int
    landed: int
    """Bytes where they belong, fetched now or found from an earlier look."""
    fetched: int
    retries: int = 0
    disk_bytes_per_second: int | None = None
    """What the disk took while it was being written to; its limit when the disk is what limits."""
    trouble: AgentError | None = None
    """What some of it meets, again and again."""


class Tally:
    """One row of counts per worker.

    >>> tally = Tally(workers=2)
    >>> tally.add(0, "landed", 5); tally.add(1, "landed", 7); tally.counts(files=1).landed
    12
    """

    def __init__(self, workers: int) -> None:
        # A map of no file: it needs neither /dev/shm nor a writable folder.
        self._counts = memoryview(mmap.mmap(-1, 8 * len(FIELDS) * workers)).cast("q")
        self._began = time.monotonic()

    def add(self, worker: int, field: Field, amount: int) -> None:
        """Add to the worker's own row."""
        self._counts[worker * len(FIELDS) + FIELDS.index(field)] += amount

    def clear(self, field: Field) -> None:
        """Begin a count anew; nobody may be working."""
        for index in range(FIELDS.index(field), len(self._counts), len(FIELDS)):
            self._counts[index] = 0

    def counts(self, files: int) -> Counts:
        """All rows added up, as of now."""
        return Counts(
            files=files,
            landed=self._total("landed"),
            fetched=self._total("fetched"),
            retries=self._total("retries"),
            disk_bytes_per_second=self._disk_rate(),
        )

    def _total(self, field: Field) -> int:
        return sum(self._counts[FIELDS.index(field) :: len(FIELDS)])

    def _disk_rate(self) -> int | None:
        # Workers write at the same time: their times overlap, but never exceed the time that has passed.
        busy = min(self._total("writing_microseconds") / 1e6, time.monotonic() - self._began)
        return round(self._total("written") / busy) if busy else None
