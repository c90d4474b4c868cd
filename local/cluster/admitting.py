"""What a namespace's policies say of an object that keeps every rule of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster import podsecurity, safeguards
from local.cluster.objects import namespace_of
from local.cluster.resources import NAMESPACES, PODS

if TYPE_CHECKING:
    from local.cluster.objects import Json
    from local.cluster.resources import Kind
    from local.cluster.store import Store


def admit(store: Store, kind: Kind, item: Json, before: Json | None = None) -> None:
    """Raise the refusal of a new object, or of a new spec of an old one."""
    namespace = store.find(NAMESPACES, "", namespace_of(item))
    if namespace is None or (before is not None and item.get("spec") == before.get("spec")):
        return
    refusal = safeguards.check(namespace, kind, item)
    if refusal is None and kind == PODS and before is None:
        refusal = podsecurity.check(namespace, item)
    if refusal is not None:
        raise refusal


def warnings(store: Store, kind: Kind, item: Json) -> tuple[str, ...]:
    """What whoever wrote an object that will not run is told."""
    namespace = store.find(NAMESPACES, "", namespace_of(item))
    told = podsecurity.warning(namespace, kind, item) if namespace else None
    return () if told is None else (told,)
