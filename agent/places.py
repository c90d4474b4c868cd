"""Where things lie on the node: the database flat in the folder, everything of ours under `.warmup`.

/workspace/blast/                 what BLAST reads
  core_nt.00.nsq …                published files
  .warmup/
    .shared/                      who brought the taxonomy files, and how new they are
    core_nt/                      lock, marker, receipts, report
      staging/ ledgers/           files on their way
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = ".warmup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Paths of one database on one node."""

    directory: Path
    database: str

    @property
    def private(self) -> Path:
        """The database's own corner."""
        return self.directory / PRIVATE / self.database

    @property
    def shared(self) -> Path:
        """The corner of the files that databases have in common; no database's name begins with a dot."""
        return self.directory / PRIVATE / ".shared"

    @property
    def pace(self) -> Path:
        """When the node may receive its next bytes."""
        return self.shared / "pace"

    @property
    def staging(self) -> Path:
        """Files that are not yet published."""
        return self.private / "staging"

    @property
    def ledgers(self) -> Path:
        """What of each staged file has landed."""
        return self.private / "ledgers"

    @property
    def reserve(self) -> Path:
        """Room that is kept for the notes at the end."""
        return self.private / "reserve"

    def published(self, name: str) -> Path:
        """Where BLAST finds the file."""
        return self.directory / name

    def staged(self, name: str) -> Path:
        """Where the file waits until all are complete."""
        return self.staging / name

    def ledger(self, name: str) -> Path:
        """Which blocks of the staged file have landed."""
        return self.ledgers / name

    def count_start(self) -> int:
        """Note that copying starts, and say how often it has since a generation was last published."""
        starts = self._starts.stat().st_size + 1 if self._starts.exists() else 1
        with self._starts.open("a", encoding="ascii") as stream:
            stream.write(".")
        return starts

    def forget_starts(self) -> None:
        """A generation is published."""
        self._starts.unlink(missing_ok=True)

    @property
    def _starts(self) -> Path:
        return self.private / "starts"

    def prepare(self) -> None:
        """Create the folders."""
        for folder in (self.staging, self.ledgers, self.shared):
            folder.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a power cut, finds the old text or the new one."""
    write_beside(path, text)
    beside(path).replace(path)


def write_beside(path: Path, text: str) -> None:
    """Write, onto the disk, what is to replace `path`."""
    with beside(path).open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def beside(path: Path) -> Path:
    """Where the successor of `path` is written."""
    return path.with_name(path.name + ".new")


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
