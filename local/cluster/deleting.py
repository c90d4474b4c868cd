"""How objects go: grace for pods, propagation to dependents, namespaces with all they hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from local.cluster.failures import conflict, details_of, forbidden
from local.cluster.objects import (
    Json,
    is_deleting,
    name_of,
    namespace_of,
    owners_of,
    timestamp,
    uid_of,
    utc_now,
)
from local.cluster.resources import NAMESPACES, PODS, Kind

if TYPE_CHECKING:
    from local.cluster.store import Store

FOREGROUND = "foregroundDeletion"
"""The finalizer of an owner that waits for its dependents to go first."""

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that no cluster lets go."""

Propagation = Literal["Background", "Foreground", "Orphan"]
PROPAGATIONS: dict[str, Propagation] = {
    "Background": "Background",
    "Foreground": "Foreground",
    "Orphan": "Orphan",
}
"""What a request may say, as the type above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What a deletion asks for."""

    propagation: Propagation = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


def delete(store: Store, kind: Kind, item: Json, options: DeleteOptions) -> Json:
    """Begin or do a deletion; the answer is the object while it lingers, else a Status."""
    _check_preconditions(kind, item, options)
    if kind == NAMESPACES and name_of(item) in IMMORTAL:
        name = name_of(item)
        raise forbidden(kind, name, f'namespaces "{name}" is forbidden: this namespace may not be deleted')
    if options.dry_run:
        return item
    if kind == PODS:
        return delete_pod(store, item, options.grace_seconds)
    if kind == NAMESPACES:
        return _begin(store, kind, {**item, "status": {"phase": "Terminating"}})
    if options.propagation == "Foreground":
        finalizers = [*(item["metadata"].get("finalizers") or []), FOREGROUND]
        metadata = {**item["metadata"], "finalizers": list(dict.fromkeys(finalizers))}
        return _begin(store, kind, {**item, "metadata": {**metadata, "deletionGracePeriodSeconds": 0}})
    if options.propagation == "Orphan":
        _orphan_dependents(store, uid_of(item))
    if FOREGROUND in (item["metadata"].get("finalizers") or []):
        item = _hurried(store, kind, item, options)
    if item["metadata"].get("finalizers"):
        return _begin(store, kind, item)
    store.remove(kind, namespace_of(item), name_of(item))
    details = {**details_of(kind, name_of(item)), "uid": uid_of(item)}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def delete_pod(store: Store, pod: Json, grace_seconds: int | None = None) -> Json:
    """Ask the pod's node to stop it; a pod without a node, or with no grace left, goes at once."""
    grace = pod["spec"]["terminationGracePeriodSeconds"] if grace_seconds is None else grace_seconds
    if grace == 0 or not pod["spec"].get("nodeName"):
        return store.remove(PODS, namespace_of(pod), name_of(pod))
    if is_deleting(pod) and pod["metadata"]["deletionGracePeriodSeconds"] <= grace:
        return pod
    metadata = {
        **pod["metadata"],
        "generation": pod["metadata"].get("generation", 1) + 1,
        "deletionTimestamp": timestamp(utc_now() + timedelta(seconds=grace)),
        "deletionGracePeriodSeconds": grace,
    }
    return store.update(PODS, {**pod, "metadata": metadata})


def collect_garbage(store: Store) -> None:
    """Delete dependents whose owners are gone or wait for them, and let owners go that have none left."""
    everything = list(store.everything())
    living = {uid_of(item) for _, item in everything}
    waiting = {
        uid_of(item) for _, item in everything if FOREGROUND in (item["metadata"].get("finalizers") or [])
    }
    held: set[str] = set()
    for kind, item in everything:
        owners = {owner["uid"] for owner in owners_of(item)}
        held |= owners & waiting
        if owners and not owners & (living - waiting) and not is_deleting(item):
            propagation: Propagation = "Foreground" if owners & waiting else "Background"
            delete(store, kind, item, DeleteOptions(propagation=propagation))
    for kind, item in everything:
        if uid_of(item) in waiting - held:
            _release(store, kind, item)


def empty_namespaces(store: Store) -> None:
    """Delete what a terminating namespace holds; the namespace goes when nothing is left."""
    for namespace in store.list(NAMESPACES):
        if not is_deleting(namespace):
            continue
        name = name_of(namespace)
        content = [(kind, item) for kind, item in store.everything() if namespace_of(item) == name]
        for kind, item in content:
            if not is_deleting(item):
                delete(store, kind, item, DeleteOptions())
        if not content:
            store.remove(NAMESPACES, "", name)


def _check_preconditions(kind: Kind, item: Json, options: DeleteOptions) -> None:
    if options.uid not in {None, uid_of(item)}:
        raise conflict(kind, name_of(item))
    if options.resource_version not in {None, item["metadata"]["resourceVersion"]}:
        raise conflict(kind, name_of(item))


def _hurried(store: Store, kind: Kind, item: Json, options: DeleteOptions) -> Json:
    """An owner that waits for its dependents no longer, since a second deletion does not."""
    finalizers = [name for name in item["metadata"]["finalizers"] if name != FOREGROUND]
    if not finalizers and options.resource_version is not None:
        # The real server compares with the version of an answer that it never made, and so always refuses.
        version = item["metadata"]["resourceVersion"]
        why = (
            "Precondition failed: ResourceVersion in precondition: , "
            f"ResourceVersion in object meta: {version}"
        )
        raise conflict(kind, name_of(item), why)
    hurried = {**item, "metadata": {**item["metadata"], "finalizers": finalizers}}
    return store.update(kind, hurried) if finalizers else hurried


def _begin(store: Store, kind: Kind, item: Json) -> Json:
    if is_deleting(item):
        return item
    metadata = {**item["metadata"], "deletionTimestamp": timestamp(utc_now())}
    if "generation" in metadata:
        metadata["generation"] += 1
    return store.update(kind, {**item, "metadata": metadata})


def _orphan_dependents(store: Store, uid: str) -> None:
    for kind, item in list(store.everything()):
        kept = [owner for owner in owners_of(item) if owner["uid"] != uid]
        if len(kept) != len(owners_of(item)):
            store.update(kind, {**item, "metadata": {**item["metadata"], "ownerReferences": kept}})


def _release(store: Store, kind: Kind, item: Json) -> None:
    current = store.find(kind, namespace_of(item), name_of(item))
    if current is None or uid_of(current) != uid_of(item):
        return
    finalizers = [name for name in current["metadata"]["finalizers"] if name != FOREGROUND]
    store.update(kind, {**current, "metadata": {**current["metadata"], "finalizers": finalizers}})
