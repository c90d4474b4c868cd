"""How staged files become the database that BLAST sees: at once, and never half.

BLAST enters a database through its alias (`.nal`, `.pal`) or, where there is none, its index (`.nin`,
`.pin`). So these are withdrawn first and come last, the alias after the index: at every moment there is
either a whole generation to enter, or nothing. It takes as long as some renames do.
"""

from __future__ import annotations

import signal
import stat
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import BadManifest, Damaged
from .locking import locked
from .places import PRIVATE, Places, sync_folder
from .records import (
    Marker,
    Record,
    add_receipts,
    commit_marker,
    keep_receipts,
    prepare_marker,
    read_receipts,
)
from .space import give_back
from .surveying import own_names, stat_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .manifest import File, Manifest

# What one agent at a time changes on a node.
PUBLISHED = "what BLAST sees on this node"
ALIASES = (".nal", ".pal")
INDEXES = (".nin", ".pin")


def publish(manifest: Manifest, places: Places, marker: Marker) -> None:
    """Move every staged file to where BLAST looks, remove what the generation before had more, remember it.

    Safe to repeat after a kill: what was moved is found published, what was not is still staged.
    """
    with locked(places.shared / "lock", PUBLISHED):
        refuse_foreign_files(manifest, places)
        _publish_shared(manifest, places)
        _publish_own(manifest, places, marker)
    places.forget_starts()
    give_back(places)


def withdraw(places: Places, names: Iterable[str], keep: set[str]) -> set[str]:
    """Take the ways in away: those to `keep` go to staging, to come back last; returns their names."""
    kept = set()
    for name in sorted(names, key=by_way_in, reverse=True):
        if name.endswith(ALIASES + INDEXES) and stat_of(places.published(name)):
            if name in keep:
                places.published(name).replace(places.staged(name))
                kept.add(name)
            else:
                places.published(name).unlink()
    return kept


def refuse_foreign_files(manifest: Manifest, places: Places) -> None:
    """Take nothing from other databases; what was fetched to do so is given back."""
    common = {record.name for record in read_receipts(places.shared)}
    own = {file.name for file in manifest.files if not file.shared}
    foreign = {file.name for file in manifest.files} & owned_by_others(places) | own & common
    if foreign:
        give_back(places)
        raise BadManifest(
            f"{min(foreign)} already belongs to another database on this node",
            remedy="release that database, or stage this one under names of its own",
        )


def refuse_what_is_no_file(manifest: Manifest, places: Places) -> None:
    """What cannot be replaced by a file, or read to its end, is found before hours of copying."""
    for file in manifest.files:
        found = stat_of(places.published(file.name))
        if found and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
            raise BadManifest(
                f"{places.published(file.name)} is {what}, and has the name of a file of the database",
                remedy="remove it from the node",
            )


def owned_by_others(places: Places) -> set[str]:
    """Names that other databases on this node have published."""
    databases = {corner.name for corner in (places.directory / PRIVATE).iterdir()} - {places.database}
    return set().union(*(own_names(replace(places, database=database)) for database in databases))


def by_way_in(name: str) -> tuple[int, str]:
    """Data, then indexes, then aliases."""
    return (2 if name.endswith(ALIASES) else 1 if name.endswith(INDEXES) else 0, name)


def _obsolete(places: Places, wanted: set[str]) -> set[str]:
    names = own_names(places) - wanted
    return names - owned_by_others(places) if names else names


def _publish_own(manifest: Manifest, places: Places, marker: Marker) -> None:
    own = [file.name for file in manifest.files if not file.shared]
    obsolete = _obsolete(places, {file.name for file in manifest.files})
    staged = [name for name in own if stat_of(places.staged(name))]
    leaving = [record for record in read_receipts(places.private) if record.name in obsolete]
    # A second copy of what the marker will say, should that one be lost; and of what is still to be removed.
    keep_receipts(places.private, [*marker.records, *leaving])
    prepare_marker(places.private, marker)
    with _undisturbed():
        # One file that is put back alone is replaced by one rename: there is no moment in between.
        if len(staged) > 1 or obsolete:
            withdraw(places, {*own, *obsolete}, keep=set(own).difference(staged))
        for name in sorted(obsolete):
            places.published(name).unlink(missing_ok=True)
        for name in sorted(own, key=by_way_in):
            if stat_of(places.staged(name)):
                places.staged(name).replace(places.published(name))
        sync_folder(places.directory)
        _refuse_losses(places, marker)
        commit_marker(places.private)


def _refuse_losses(places: Places, marker: Marker) -> None:
    for record in marker.records:
        if not record.agrees_with(stat_of(places.published(record.name))):
            raise Damaged(f"{record.name} was taken away or touched while it was published")


def _publish_shared(manifest: Manifest, places: Places) -> None:
    """The newest wins, whichever database brings it; it is remembered before it is there."""
    files = [file for file in manifest.files if file.shared and stat_of(places.staged(file.name))]
    present = read_receipts(places.shared)
    for file in [file for file in files if _newer_is_there(present, file, places)]:
        places.staged(file.name).unlink()
        files.remove(file)
    if files:
        names = {file.name for file in files}
        brought = [record for record in read_receipts(places.private) if record.name in names]
        add_receipts(places.shared, brought)
        for name in names:
            places.staged(name).replace(places.published(name))
        sync_folder(places.directory)
        keep_receipts(places.shared, [*(record for record in present if record.name not in names), *brought])


def _newer_is_there(present: Sequence[Record], file: File, places: Places) -> bool:
    found = stat_of(places.published(file.name))
    return any(
        record.name == file.name and record.is_newer_than(file) and record.agrees_with(found)
        for record in present
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a signal wait: it takes milliseconds, and half of it leaves no database to search."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
