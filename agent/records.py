"""What the agent remembers of files it has verified: receipts on the way, then the marker.

A record alone proves nothing: it counts only while the file on disk still has the size and the
modification time that were seen when its bytes were verified, and is still the same file.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from .places import beside, write_atomically, write_beside

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import stat_result
    from pathlib import Path

    from .manifest import File

SCHEMA = 1
# No file has it: a record with it agrees with none.
NO_INODE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A file whose every byte was verified."""

    name: str
    size: int
    etag: str
    digest: str
    modified: float
    """Of the blob, in seconds since the epoch."""
    mtime_ns: int
    """Of the file on this node, when it was verified."""
    inode: int
    """Tells files apart that were written within one tick of the clock."""
    shared: bool = False
    """All databases of the node have it in common: it is released with none of them."""

    def speaks_of(self, file: File) -> bool:
        """Was it this blob that was verified?"""
        return (self.name, self.size, self.etag) == (file.name, file.size, file.etag)

    def is_newer_than(self, file: File) -> bool:
        """A total order, as times have whole seconds: else two databases of one second would never agree."""
        return self.age > (file.modified, file.etag)

    @property
    def age(self) -> tuple[float, str]:
        """What tells the newer of two files that databases have in common."""
        return (self.modified, self.etag)

    def agrees_with(self, found: stat_result | None) -> bool:
        """Is the file still there, and does it look as it did then?"""
        looks = found and (found.st_size, found.st_mtime_ns, found.st_ino)
        return looks == (self.size, self.mtime_ns, self.inode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A generation that was published whole."""

    generation: str
    digest: str
    records: tuple[Record, ...]


def record_of(file: File, digest: str, found: stat_result) -> Record:
    """The record of a file that was just verified."""
    return Record(
        name=file.name,
        size=file.size,
        etag=file.etag,
        digest=digest,
        modified=file.modified,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
        shared=file.shared,
    )


def read_marker(private: Path) -> Marker | None:
    """The marker of a database; None when there is none, or none that can be read."""
    try:
        document = json.loads(_marker(private).read_text(encoding="utf-8"))
        records = tuple(Record(**entry) for entry in document["files"])
        return Marker(generation=document["generation"], digest=document["digest"], records=records)
    except (FileNotFoundError, NotADirectoryError, KeyError, TypeError, ValueError):
        return None


def write_marker(private: Path, marker: Marker) -> None:
    """Replace the marker."""
    prepare_marker(private, marker)
    commit_marker(private)


def prepare_marker(private: Path, marker: Marker) -> None:
    """Put the next marker beside this one: what may fail for want of room, before anything is published."""
    document = {"schema": SCHEMA, **asdict(marker)}
    document["files"] = document.pop("records")
    write_beside(_marker(private), json.dumps(document))


def commit_marker(private: Path) -> None:
    """Let the prepared marker be the marker."""
    beside(_marker(private)).replace(_marker(private))


def read_receipts(folder: Path) -> tuple[Record, ...]:
    """The receipts in `folder`, oldest first; a line torn by a power cut is passed over."""
    try:
        lines = _receipts(folder).read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(record for line in lines if (record := _receipt(line)))


def add_receipts(folder: Path, records: Iterable[Record]) -> None:
    """Remember more verified files, on disk: what is published next must be known to be this database's."""
    # A line that was torn before must not swallow the first of these.
    lines = "\n" + "".join(json.dumps(asdict(record)) + "\n" for record in records)
    with _receipts(folder).open("a", encoding="utf-8") as stream:
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def keep_receipts(folder: Path, records: Iterable[Record]) -> None:
    """Remember these verified files, and no others."""
    write_atomically(_receipts(folder), "".join(json.dumps(asdict(record)) + "\n" for record in records))


def doubt(private: Path, names: set[str]) -> None:
    """Let only their bytes speak for `names` from now on; that they are this database's stays known."""
    keep_receipts(private, _doubted(read_receipts(private), names))
    marker = read_marker(private)
    if marker:
        write_marker(private, replace(marker, records=_doubted(marker.records, names)))


def _doubted(records: Iterable[Record], names: set[str]) -> tuple[Record, ...]:
    return tuple(replace(record, inode=NO_INODE) if record.name in names else record for record in records)


def _receipt(line: str) -> Record | None:
    try:
        return Record(**json.loads(line))
    except (TypeError, ValueError):
        return None


def _marker(private: Path) -> Path:
    return private / "marker.json"


def _receipts(folder: Path) -> Path:
    return folder / "receipts.jsonl"
