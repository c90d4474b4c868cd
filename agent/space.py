"""Room on the disk: judged before byte one, taken at once, given back when it does not suffice."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import DiskFull
from .surveying import stat_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .manifest import File
    from .places import Places

STAT_BLOCK_BYTES = 512
# Ledgers, receipts, marker and report: 40 bytes per 8 MiB, some hundred per file, and a block each.
BOOKKEEPING_BYTES = 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_room(files: Iterable[File], places: Places) -> None:
    """Is there room for what is not yet staged of `files`?

    What is published stays until the new files replace it, so both are on the disk for a while.

    Raises:
        DiskFull: with the exact shortage.
    """
    missing = sum(file.size - _taken(places.staged(file.name), file.size) for file in files)
    needed = missing + BOOKKEEPING_BYTES
    free = _free_bytes(places.directory)
    if needed > free:
        raise DiskFull(
            f"{places.database} needs {needed} more bytes under {places.directory}, "
            f"which has {free} free: {needed - free} bytes short"
        )


def allocate(file: File, places: Places) -> None:
    """Make the staged file at its full size, so that the room is taken before byte one.

    Raises:
        DiskFull: somebody else took the room in the meantime.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(places.staged(file.name), flags, 0o644)
    try:
        os.ftruncate(descriptor, file.size)
        if file.size:
            os.posix_fallocate(descriptor, 0, file.size)
    except OSError as error:
        raise disk_full(error, file.name) or error from error
    finally:
        os.close(descriptor)


def reserve_for_notes(places: Places) -> None:
    """Take the room that the end needs: copying for an hour must not be lost for want of a receipt."""
    descriptor = os.open(places.reserve, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, BOOKKEEPING_BYTES)
    finally:
        os.close(descriptor)


def give_back(places: Places, keep: frozenset[str] = frozenset()) -> None:
    """Remove what is staged, but for `keep`, how far it was, and what was reserved."""
    places.reserve.unlink(missing_ok=True)
    for folder in (places.staging, places.ledgers):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if not stat.S_ISREG(entry.lstat().st_mode) or entry.name not in keep:
                remove(entry)


def remove(entry: Path) -> None:
    """Whatever it is: it lies where all is the agent's own."""
    if stat.S_ISDIR(entry.lstat().st_mode):
        shutil.rmtree(entry)
    else:
        entry.unlink()


@contextmanager
def giving_back(files: Iterable[File], places: Places) -> Iterator[None]:
    """Leave nothing staged when the disk turns out to be full on the way to `files`.

    Raises:
        DiskFull: instead of any error that says so; with the exact shortage, if there still is one.
    """
    try:
        yield
    except (DiskFull, OSError) as error:
        full = error if isinstance(error, DiskFull) else disk_full(error, "what the agent notes down")
        if full is None:
            raise
        give_back(places)
        check_room(files, places)
        raise full from error


def disk_full(error: OSError, what: str) -> DiskFull | None:
    """The refusal that a failed write stands for, if it was for want of room."""
    if error.errno not in FULL:
        return None
    return DiskFull(f"the disk filled up while {what} was written")


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _taken(path: Path, size: int) -> int:
    found = stat_of(path)
    return min(found.st_blocks * STAT_BLOCK_BYTES, size) if found else 0
