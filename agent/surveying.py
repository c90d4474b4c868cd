"""A look at what lies on the node: which files of the manifest are sound, staged, in doubt or missing.

No byte is read here: a thousand files are looked at in milliseconds. What is in doubt is hashed by
`verifying.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .records import Record, read_marker, read_receipts

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from .manifest import File, Manifest
    from .places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Every file of the manifest, in exactly one of four states."""

    sound: tuple[Record, ...]
    """Published, and as they were when they were verified."""
    staged: tuple[Record, ...]
    """Verified, not yet published."""
    doubtful: tuple[File, ...]
    """Published with the right size: only their bytes can tell."""
    missing: tuple[File, ...]

    def settled(self, sound: tuple[Record, ...]) -> Survey:
        """What is left when of the doubtful files `sound` turned out so, and the others did not."""
        names = {record.name for record in sound}
        lost = tuple(file for file in self.doubtful if file.name not in names)
        return replace(self, sound=self.sound + sound, doubtful=(), missing=self.missing + lost)

    def withdrawn(self, names: set[str]) -> Survey:
        """What it is when of the sound files these were moved to staging."""
        moved = tuple(record for record in self.sound if record.name in names)
        sound = tuple(record for record in self.sound if record.name not in names)
        return replace(self, sound=sound, staged=self.staged + moved)


def survey(manifest: Manifest, places: Places) -> Survey:
    """Look at every file once."""
    memory = remembered(places)
    sound: list[Record] = []
    staged: list[Record] = []
    doubtful: list[File] = []
    missing: list[File] = []
    for file in manifest.files:
        published = stat_of(places.published(file.name))
        known = [record for record in memory.get(file.name, ()) if _may_stand_for(record, file)]
        if record := _agreeing(known, published):
            sound.append(record)
        elif record := _agreeing(known, stat_of(places.staged(file.name))):
            staged.append(record)
        elif published and published.st_size == as_present(file, known).size and (known or file.md5):
            doubtful.append(file)
        else:
            missing.append(file)
    return Survey(sound=tuple(sound), staged=tuple(staged), doubtful=tuple(doubtful), missing=tuple(missing))


def remembered(places: Places) -> dict[str, list[Record]]:
    """By name, all records that may speak of files of this database."""
    memory: dict[str, list[Record]] = defaultdict(list)
    for record in (*own_records(places), *read_receipts(places.shared)):
        memory[record.name].append(record)
    return memory


def own_records(places: Places) -> tuple[Record, ...]:
    """What this database brought to the node: of the generation that is published, and of one on its way."""
    marker = read_marker(places.private)
    return (*(marker.records if marker else ()), *read_receipts(places.private))


def own_names(places: Places) -> set[str]:
    """Names of the files that this database has published, but for those that all have in common.

    The marker knows them. Where a publication was killed before its marker, receipts do; they also know files
    that never came so far, and in whose place there may be somebody else's: only the file itself can tell.
    """
    marker = read_marker(places.private)
    names = {record.name for record in marker.records if not record.shared} if marker else set()
    for record in read_receipts(places.private):
        if record.name not in names and not record.shared:
            found = stat_of(places.published(record.name))
            names.update({record.name} if found and found.st_ino == record.inode else ())
    return names


def stat_of(path: Path) -> os.stat_result | None:
    """The file's own metadata; None when there is none."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def as_present(file: File, known: Sequence[Record]) -> File:
    """A shared file may rightly be newer than this database's: then that is what it is held against."""
    newer = [record for record in known if file.shared and record.is_newer_than(file)]
    if not newer:
        return file
    newest = max(newer, key=lambda record: record.age)
    return replace(file, size=newest.size, etag=newest.etag, md5=None, modified=newest.modified)


def _may_stand_for(record: Record, file: File) -> bool:
    """A shared file may be newer than this database's; any other must be the very blob."""
    if file.shared and record.name == file.name and record.is_newer_than(file):
        return True
    return record.speaks_of(file)


def _agreeing(records: list[Record], found: os.stat_result | None) -> Record | None:
    return next((record for record in records if record.agrees_with(found)), None)
