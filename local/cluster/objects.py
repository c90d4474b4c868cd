"""Kubernetes objects are plain JSON here; these are the few questions that everybody asks of them.

Nothing in this module knows where objects are kept. Objects that come out of the store are shared: read them
here, change a copy elsewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
"""One Kubernetes object, or a part of one, as `json.loads` gives it."""

TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""Kubernetes' `metav1.Time`: whole seconds, UTC."""


def utc_now() -> datetime:
    """The one clock of the cluster."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """How Kubernetes writes a moment.

    >>> timestamp(datetime(2026, 11, 24, 2, 3, 4, tzinfo=UTC))
    '2026-11-24T02:03:04Z'
    """
    return moment.strftime(TIMESTAMP_FORMAT)


def parse_timestamp(text: str) -> datetime:
    """The moment that `timestamp` wrote."""
    return datetime.strptime(text, TIMESTAMP_FORMAT).replace(tzinfo=UTC)


def name_of(item: Json) -> str:
    """`metadata.name`."""
    return str(item["metadata"]["name"])


def namespace_of(item: Json) -> str:
    """`metadata.namespace`, empty for what belongs to no namespace."""
    return str(item["metadata"].get("namespace", ""))


def uid_of(item: Json) -> str:
    """`metadata.uid`: differs between two objects that had the same name one after the other."""
    return str(item["metadata"]["uid"])


def labels_of(item: Json) -> dict[str, str]:
    """`metadata.labels`, never None."""
    return item.get("metadata", {}).get("labels") or {}


def owners_of(item: Json) -> list[Json]:
    """`metadata.ownerReferences`, never None."""
    return item["metadata"].get("ownerReferences") or []


def controller_uid(item: Json) -> str | None:
    """The uid of the owner that controls this object, if one does."""
    return next((owner["uid"] for owner in owners_of(item) if owner.get("controller")), None)


def is_deleting(item: Json) -> bool:
    """Whether its deletion was asked for and is not over."""
    return "deletionTimestamp" in item["metadata"]


def condition_of(item: Json, kind: str) -> Json | None:
    """The condition named `kind` from the object's status."""
    conditions: list[Json] = item.get("status", {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def is_ready(item: Json) -> bool:
    """Whether its condition `Ready` is True: pods and nodes have one."""
    condition = condition_of(item, "Ready")
    return condition is not None and condition.get("status") == "True"


def containers_of(pod: Json) -> list[Json]:
    """Init containers first, then the others, in order."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
