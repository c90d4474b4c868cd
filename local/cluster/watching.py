"""Watches: the changes of a kind as a stream of JSON lines, filtered as the list would be."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.failures import ApiError, bad_request
from local.cluster.objects import Json, namespace_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from local.cluster.requests import ApiRequest
    from local.cluster.selectors import Selection
    from local.cluster.store import Change, Store

DEFAULT_SECONDS = 1800
"""How long a watch lasts that names no end: the real server takes 30 to 60 minutes."""

BOOKMARK_SECONDS = 10.0
"""How often a quiet watch is told where it stands; the real server does it about every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One watch in progress."""

    request: ApiRequest
    selection: Selection
    show: Callable[[Json], Json]
    """Turns an object into what is sent: itself, or a table of one row."""

    def event_for(self, change: Change) -> tuple[str, Json] | None:
        """What this watch tells about a change: an object that leaves the selection is told as deleted."""
        if change.kind != self.request.kind:
            return None
        if self.request.namespace and namespace_of(change.item) != self.request.namespace:
            return None
        was = change.before is not None and self.holds(change.before)
        now = change.type != "DELETED" and self.holds(change.item)
        if now:
            return ("MODIFIED" if was else "ADDED"), change.item
        return ("DELETED", change.item) if was else None

    def holds(self, item: Json) -> bool:
        """Whether this watch tells about the object."""
        named = not self.request.name or item["metadata"]["name"] == self.request.name
        return named and self.selection.holds(item)


async def stream(store: Store, watch: Watch, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """The lines of a watch until its time is over or the server stops."""
    since = watch.request.query.get("resourceVersion", "")
    try:
        subscription = store.subscribe(_version(since) if since not in {"", "0"} else None)
    except ApiError as error:
        # As the real server: 200, then an event that says the version is too old.
        yield _line("ERROR", error.body)
        return
    deadline = time.monotonic() + (watch.request.number("timeoutSeconds") or DEFAULT_SECONDS)
    try:
        if since in {"", "0"}:
            for item in filter(watch.holds, store.list(watch.request.kind, watch.request.namespace)):
                yield _line("ADDED", watch.show(item))
            if watch.request.flag("sendInitialEvents"):
                yield _bookmark(store, watch, {"k8s.io/initial-events-end": "true"})
        while not stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            for event in filter(None, map(watch.event_for, subscription.drain())):
                yield _line(event[0], watch.show(event[1]))
            try:
                await asyncio.wait_for(subscription.wait(), min(left, BOOKMARK_SECONDS))
            except TimeoutError:
                if watch.request.flag("allowWatchBookmarks"):
                    yield _bookmark(store, watch, {})
    finally:
        store.unsubscribe(subscription)


def _version(text: str) -> int:
    if not text.isdigit():
        raise bad_request(f'invalid resource version "{text}"')
    return int(text)


def _bookmark(store: Store, watch: Watch, annotations: dict[str, str]) -> bytes:
    kind = watch.request.kind
    metadata: Json = {"resourceVersion": str(store.version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return _line("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})


def _line(kind: str, item: Json) -> bytes:
    return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"
