"""Taking a database off a node: exactly its own files, and what was remembered of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from .locking import locked
from .places import sync_folder
from .publishing import by_way_in, owned_by_others
from .records import read_marker, read_receipts

if TYPE_CHECKING:
    from .manifest import Manifest
    from .places import Places


def release(manifest: Manifest, places: Places) -> int:
    """Remove the database; returns how many files it had on the node.

    Files that all databases share stay, as do those that another database's marker claims. The ways in go
    first, so that no search begins on what is about to vanish.
    """
    with locked(places.private / "lock", manifest.database):
        names = _own_names(manifest, places) - owned_by_others(places)
        present = [
            name for name in sorted(names, key=by_way_in, reverse=True) if places.published(name).exists()
        ]
        for name in present:
            places.published(name).unlink()
        sync_folder(places.directory)
        shutil.rmtree(places.private)
    return len(present)


def _own_names(manifest: Manifest, places: Places) -> set[str]:
    """What the manifest names now, and what an earlier generation left."""
    marker = read_marker(places.private)
    remembered = {
        record.name for record in (*(marker.records if marker else ()), *read_receipts(places.private))
    }
    shared = {file.name for file in manifest.files if file.shared}
    return ({file.name for file in manifest.files} | remembered) - shared
