"""Kubernetes events: what controllers and nodes tell people. Repeated ones are counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from local.cluster.objects import Json, is_deleting, name_of, namespace_of, timestamp, uid_of, utc_now
from local.cluster.resources import EVENTS, NAMESPACES

if TYPE_CHECKING:
    from local.cluster.store import Store

EVENTS_KEPT = 2_000
"""The oldest go beyond this; the real server forgets after an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who tells it."""

    component: str
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to an object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    source: Source
    field_path: str = ""


def record(store: Store, about: Json, event: Event) -> None:
    """Tell an event about an object, unless its namespace ends; the same one again raises its count."""
    namespace = store.find(NAMESPACES, "", namespace_of(about) or "default")
    if namespace is None or is_deleting(namespace):
        return
    known = _same(store, about, event)
    now = timestamp(utc_now())
    if known:
        store.update(EVENTS, {**known, "count": known.get("count", 0) + 1, "lastTimestamp": now})
        return
    store.create(EVENTS, _fresh(about, event, now))
    events = store.list(EVENTS)
    if len(events) > EVENTS_KEPT:
        oldest = min(events, key=lambda item: str(item.get("lastTimestamp")))
        store.remove(EVENTS, namespace_of(oldest), name_of(oldest))


def _same(store: Store, about: Json, event: Event) -> Json | None:
    identity = (uid_of(about), event.reason, event.message, event.field_path)
    return next((item for item in store.list(EVENTS) if _identity(item) == identity), None)


def _identity(item: Json) -> tuple[str, str, str, str]:
    involved = item.get("involvedObject") or {}
    return (
        involved.get("uid", ""),
        item.get("reason", ""),
        item.get("message", ""),
        involved.get("fieldPath", ""),
    )


def _fresh(about: Json, event: Event, now: str) -> Json:
    namespace = namespace_of(about) or "default"
    path = {"fieldPath": event.field_path} if event.field_path else {}
    host = {"host": event.source.host} if event.source.host else {}
    return {
        "metadata": {"name": f"{name_of(about)}.{time.time_ns():x}", "namespace": namespace},
        "involvedObject": {
            "kind": about["kind"],
            "namespace": namespace,
            "name": name_of(about),
            "uid": uid_of(about),
            "apiVersion": about["apiVersion"],
            "resourceVersion": about["metadata"]["resourceVersion"],
            **path,
        },
        "reason": event.reason,
        "message": event.message,
        "source": {"component": event.source.component, **host},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": event.type,
        "eventTime": None,
        "reportingComponent": event.source.component,
        "reportingInstance": event.source.host,
    }
