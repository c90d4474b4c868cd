"""Tables for `kubectl get`: columns and cells per kind. Pure but for the age, which counts from now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cluster.objects import Json, is_deleting, is_ready, name_of, parse_timestamp, utc_now
from local.cluster.resources import DAEMON_SETS, EVENTS, NODES, PODS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLUMNS: dict[Kind, tuple[str, ...]] = {
    PODS: ("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"),
    DAEMON_SETS: ("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"),
    NODES: ("Name", "Status", "Roles", "Age", "Version"),
    EVENTS: ("Last Seen", "Type", "Reason", "Object", "Message"),
}

WIDE_COLUMNS = frozenset({"IP", "Node"})
"""Shown by `-o wide` only."""

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
DAY_SECONDS = 86400


def table(kind: Kind, items: Sequence[Json], metadata: Json, include: str) -> Json:
    """A list as a table; `include` says how much of each object goes along: Object, Metadata or None."""
    columns = COLUMNS.get(kind, ("Name", "Age"))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_column(name) for name in columns],
        "rows": [{"cells": _cells(kind, item), "object": _included(item, include)} for item in items],
    }


def table_of_one(kind: Kind, item: Json, include: str) -> Json:
    """One object as a table, for `get NAME` and for watches."""
    return table(kind, [item], {"resourceVersion": item["metadata"]["resourceVersion"]}, include)


def pod_state(pod: Json) -> str:
    """The word in kubectl's STATUS column."""
    if is_deleting(pod):
        return "Terminating"
    status = pod.get("status", {})
    total = len(pod["spec"].get("initContainers") or [])
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        if word := _init_word(container["state"], f"{index}/{total}"):
            return f"Init:{word}"
    for container in status.get("containerStatuses") or []:
        for form in ("waiting", "terminated"):
            if reason := container["state"].get(form, {}).get("reason"):
                return str(reason)
    return str(status.get("reason") or status.get("phase", "Pending"))


def _init_word(state: Json, progress: str) -> str | None:
    if "terminated" in state:
        return None if state["terminated"]["exitCode"] == 0 else str(state["terminated"]["reason"])
    reason = state.get("waiting", {}).get("reason", "PodInitializing")
    return progress if reason == "PodInitializing" else str(reason)


def _column(name: str) -> Json:
    return {
        "name": name,
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": 1 if name in WIDE_COLUMNS else 0,
    }


def _included(item: Json, include: str) -> Json | None:
    if include == "None":
        return None
    if include == "Object":
        return item
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": item["metadata"],
    }


def _cells(kind: Kind, item: Json) -> list[Any]:
    return _ROWS.get(kind, _plain_row)(item)


def _plain_row(item: Json) -> list[Any]:
    return [name_of(item), _age(item)]


def _pod_row(pod: Json) -> list[Any]:
    status = pod.get("status", {})
    containers = status.get("containerStatuses") or []
    ready = sum(1 for container in containers if container["ready"])
    restarts = sum(
        container["restartCount"] for container in [*(status.get("initContainerStatuses") or []), *containers]
    )
    return [
        name_of(pod),
        f"{ready}/{len(pod['spec']['containers'])}",
        pod_state(pod),
        str(restarts),
        _age(pod),
        status.get("podIP", "<none>"),
        pod["spec"].get("nodeName", "<none>"),
    ]


def _daemon_set_row(item: Json) -> list[Any]:
    status = item["status"]
    selector = item["spec"]["template"]["spec"].get("nodeSelector") or {}
    return [
        name_of(item),
        status["desiredNumberScheduled"],
        status["currentNumberScheduled"],
        status["numberReady"],
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        ",".join(f"{key}={value}" for key, value in selector.items()) or "<none>",
        _age(item),
    ]


def _node_row(node: Json) -> list[Any]:
    state = "Ready" if is_ready(node) else "NotReady"
    cordoned = ",SchedulingDisabled" if node["spec"].get("unschedulable") else ""
    version = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    return [name_of(node), state + cordoned, "<none>", _age(node), version]


def _event_row(event: Json) -> list[Any]:
    involved = event.get("involvedObject") or {}
    named = f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"
    return [_age(event), *(event.get(key, "") for key in ("type", "reason")), named, event.get("message", "")]


_ROWS: dict[Kind, Callable[[Json], list[Any]]] = {
    PODS: _pod_row,
    DAEMON_SETS: _daemon_set_row,
    NODES: _node_row,
    EVENTS: _event_row,
}


def _age(item: Json) -> str:
    born = parse_timestamp(item["metadata"]["creationTimestamp"])
    seconds = int((utc_now() - born).total_seconds())
    if seconds < 2 * MINUTE_SECONDS:
        return f"{seconds}s"
    if seconds < 2 * HOUR_SECONDS:
        return f"{seconds // MINUTE_SECONDS}m"
    if seconds < 2 * DAY_SECONDS:
        return f"{seconds // HOUR_SECONDS}h"
    return f"{seconds // DAY_SECONDS}d"
