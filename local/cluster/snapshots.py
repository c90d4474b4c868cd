"""The cluster's state on disk: one JSON file, rewritten whole a moment after something changed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from local.cluster.access import write_private
from local.cluster.resources import Kind, find_kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from local.cluster.objects import Json
    from local.cluster.store import Store

PAUSE_SECONDS = 0.5
"""At most this much is lost by a kill; writing more often would cost more than it saves."""


def save(store: Store, file: Path) -> None:
    """Write the state, whole or not at all. Secrets are in it, so only its owner may read it."""
    items = [item for _, item in store.everything()]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({"version": store.version, "items": items}))


def load(store: Store, file: Path) -> bool:
    """Read the state back; False when there is none. A file that is damaged is set aside, and said."""
    if not file.exists():
        return False
    try:
        state = json.loads(file.read_text())
        items = [(_kind_of(item), item) for item in state["items"]]
    except (ValueError, KeyError, TypeError) as error:
        aside = file.with_suffix(".damaged")
        file.replace(aside)
        told = (
            f"the cluster's state was damaged ({error}); it is kept as {aside}, and the cluster starts empty"
        )
        print(told, file=sys.stderr)
        return False
    store.load(int(state["version"]), items)
    return True


async def keep_saving(store: Store, file: Path) -> None:
    """Write the state whenever it has changed, for ever."""
    saved = 0
    while True:
        if store.version != saved:
            saved = store.version
            save(store, file)
        await asyncio.sleep(PAUSE_SECONDS)


def _kind_of(item: Json) -> Kind:
    kind = find_kind_of(item["apiVersion"], item["kind"])
    if kind is None:
        raise ValueError(f"it holds a {item['kind']} of {item['apiVersion']}")
    return kind
