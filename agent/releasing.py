"""Taking a database off a node: exactly its own files, and what was remembered of them.

Nothing but the database's name is needed: what is no longer staged, or was never whole, can be released too.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .locking import locked
from .places import sync_folder
from .publishing import PUBLISHED, by_way_in, owned_by_others
from .space import remove
from .surveying import own_names, stat_of

if TYPE_CHECKING:
    from .places import Places


def release(places: Places) -> int:
    """Remove the database; returns how many files it had on the node, 0 where it is not.

    Files that all databases share stay, as do those that another database's marker claims. The ways in go
    first, so that no search begins on what is about to vanish; the lock goes last, so that nobody begins
    to warm what is not yet gone.
    """
    if not places.private.is_dir():
        return 0
    with locked(places.private / "lock", places.database), locked(places.shared / "lock", PUBLISHED):
        names = own_names(places) - owned_by_others(places)
        present = [
            name for name in sorted(names, key=by_way_in, reverse=True) if stat_of(places.published(name))
        ]
        for name in present:
            places.published(name).unlink()
        sync_folder(places.directory)
        lock = places.private / "lock"
        for entry in tuple(places.private.iterdir()):
            if entry != lock:
                remove(entry)
        lock.unlink()
    with suppress(OSError):
        places.private.rmdir()  # another agent may have begun here since
    return len(present)
