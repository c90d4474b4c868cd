"""Objects, their resource versions, and the changes that watches tell.

Lives on one event loop: every method is synchronous and therefore atomic. What comes out is shared with
everybody else: a caller who wants to change an object changes a copy and puts it back with `update`. Rules
about content live elsewhere; the store knows identity, versions and history only.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from local.cluster.failures import already_exists, conflict, expired, not_found
from local.cluster.objects import Json, is_deleting, name_of, namespace_of, timestamp, utc_now
from local.cluster.resources import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HISTORY_CHANGES = 20_000
"""What a watch may ask back for; a roll-out over 1,000 nodes makes about 5,000 changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to one object; `before` is None for a new one."""

    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    kind: Kind
    item: Json
    before: Json | None


@dataclass(eq=False, slots=True)
class Subscription:
    """The changes since it was made, in order; one reader."""

    pending: deque[Change] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, change: Change) -> None:
        """Called by the store."""
        self.pending.append(change)
        self._arrived.set()

    def drain(self) -> Iterator[Change]:
        """Take what is there."""
        self._arrived.clear()
        while self.pending:
            yield self.pending.popleft()

    async def wait(self) -> None:
        """Return when something is there."""
        await self._arrived.wait()


class Store:
    """All objects of one cluster."""

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[Kind, dict[tuple[str, str], Json]] = {kind: {} for kind in KINDS}
        self._history: deque[Change] = deque(maxlen=HISTORY_CHANGES)
        self._oldest_known = 1
        self._subscriptions: set[Subscription] = set()

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        """The object; raises 404."""
        item = self._objects[kind].get((namespace, name))
        if item is None:
            raise not_found(kind, name)
        return item

    def find(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """The object, or None."""
        return self._objects[kind].get((namespace, name))

    def list(self, kind: Kind, namespace: str = "") -> list[Json]:
        """All objects of a kind, in one namespace or in all, by namespace and name."""
        known = self._objects[kind]
        return [known[key] for key in sorted(known) if not namespace or key[0] == namespace]

    def create(self, kind: Kind, item: Json) -> Json:
        """Keep a new object; gives it uid, time and version. Raises 409 when the name is taken."""
        key = (namespace_of(item), name_of(item))
        if key in self._objects[kind]:
            raise already_exists(kind, key[1])
        return self._keep(kind, key, newborn(kind, item), None)

    def update(self, kind: Kind, item: Json) -> Json:
        """Replace an object by its next state; a deleted one without finalizers goes.

        Raises 404 when it is gone, 409 when `item` was made from an older version. What is equal stays.
        """
        key = (namespace_of(item), name_of(item))
        before = self.get(kind, *key)
        if item["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise conflict(kind, key[1])
        if item == before:
            return before
        if is_deleting(item) and _loses_its_last_finalizer(before, item):
            return self.remove(kind, *key)
        return self._keep(kind, key, item, before)

    def remove(self, kind: Kind, namespace: str, name: str) -> Json:
        """Forget an object; raises 404."""
        before = self.get(kind, namespace, name)
        del self._objects[kind][namespace, name]
        last = self._stamped(before)
        self._tell(Change(version=self.version, type="DELETED", kind=kind, item=last, before=before))
        return last

    def subscribe(self, since: int | None = None) -> Subscription:
        """A feed of changes, from now on or after version `since`; raises 410 when that is forgotten."""
        subscription = Subscription()
        if since is not None:
            if since < self._oldest_known:
                raise expired(f"too old resource version: {since} ({self._oldest_known})")
            for change in self._history:
                if change.version > since:
                    subscription.push(change)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a feed."""
        self._subscriptions.discard(subscription)

    def everything(self) -> Iterator[tuple[Kind, Json]]:
        """All objects, for the snapshot and the garbage collector."""
        for kind, known in self._objects.items():
            for item in known.values():
                yield kind, item

    def load(self, version: int, items: Iterable[tuple[Kind, Json]]) -> None:
        """Start from a snapshot; older versions can no longer be watched."""
        self.version = self._oldest_known = version
        for kind, item in items:
            self._objects[kind][namespace_of(item), name_of(item)] = item

    def _keep(self, kind: Kind, key: tuple[str, str], item: Json, before: Json | None) -> Json:
        kept = self._stamped(item)
        self._objects[kind][key] = kept
        told: Literal["ADDED", "MODIFIED"] = "MODIFIED" if before else "ADDED"
        self._tell(Change(version=self.version, type=told, kind=kind, item=kept, before=before))
        return kept

    def _stamped(self, item: Json) -> Json:
        self.version += 1
        return {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}

    def _tell(self, change: Change) -> None:
        if len(self._history) == HISTORY_CHANGES:
            self._oldest_known = self._history[0].version
        self._history.append(change)
        for subscription in self._subscriptions:
            subscription.push(change)


def newborn(kind: Kind, item: Json) -> Json:
    """The object with what the server alone decides: uid and time of birth (a dry run answers this)."""
    metadata = {
        **item["metadata"],
        "uid": str(uuid.uuid4()),
        "creationTimestamp": timestamp(utc_now()),
    }
    rest = {key: value for key, value in item.items() if key not in {"kind", "apiVersion", "metadata"}}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **rest}


def _loses_its_last_finalizer(before: Json, item: Json) -> bool:
    return bool(before["metadata"].get("finalizers")) and not item["metadata"].get("finalizers")
