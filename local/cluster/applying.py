"""Server-side apply: who owns which field, and what an owner's next word changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster import writing
from local.cluster.failures import bad_request
from local.cluster.patching import strategic_patch

if TYPE_CHECKING:
    from local.cluster.objects import Json
    from local.cluster.store import Store
    from local.cluster.writing import Place

APPLY_TYPE = "application/apply-patch+yaml"


def apply(store: Store, place: Place, body: Json, *, manager: str, force: bool) -> tuple[Json, bool]:
    """Make or change the object so that it says what `body` says; the flag tells whether it is new."""
    if not manager:
        raise bad_request(
            "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
        )
    del force
    before = store.find(place.kind, place.namespace, place.name)
    if before is None:
        named = {**body, "metadata": {**(body.get("metadata") or {}), "name": place.name}}
        return writing.create(store, place, named), True
    return writing.replace(store, place, strategic_patch(before, body)), False
