"""The DaemonSet controller's decisions: DaemonSet + nodes + pods → what to create, to delete, and to show.

Pure: nothing is read and nothing is written here. Following the plan and asking again gives an empty plan.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.defaulting import TEMPLATE_GENERATION
from local.cluster.objects import (
    Json,
    is_deleting,
    is_ready,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from local.cluster.scheduling import matches_node, untolerated_taint
from local.cluster.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Sequence

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"

REVISION_LENGTH = 10
"""As long as the hashes that Kubernetes makes."""

NODE_FIELD = "metadata.name"

ALL_STOPPING = frozenset({"NoSchedule", "NoExecute"})
EVICTING = frozenset({"NoExecute"})

_TOLERATED_ALWAYS = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the controller does next."""

    create_on: tuple[str, ...]
    delete: tuple[str, ...]
    failed: tuple[str, ...]
    """The deleted ones that had failed: told in an event each."""
    status: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """One node that the DaemonSet wants a pod on, and its living pods there, oldest first."""

    node: str
    pods: tuple[Json, ...]


def reconcile(daemon_set: Json, nodes: Sequence[Json], pods: Sequence[Json]) -> Plan:
    """Compare what a DaemonSet wants with its own pods."""
    spec = pod_spec(daemon_set)
    by_node = _by_node(pods)
    wanted = [node for node in nodes if _should_run(spec, node)]
    names = {name_of(node) for node in wanted}
    kept = names | {name_of(node) for node in nodes if _may_stay(spec, node)}
    failed = [pod for pod in pods if _has_failed(pod)]
    seats = [_Seat(node=name_of(node), pods=_living(by_node.get(name_of(node), ()))) for node in wanted]
    strays = [pod for node, found in by_node.items() if node not in kept for pod in found]
    doubles = [pod for seat in seats for pod in seat.pods[1:]]
    # Where the pod would not be put today but may stay, it is taken away at the next change of the template.
    lingering = [_Seat(node=name, pods=_living(by_node.get(name, ()))) for name in sorted(kept - names)]
    outdated = _outdated(daemon_set, seats, lingering)
    doomed = {name_of(pod): pod for pod in [*failed, *strays, *doubles, *outdated]}
    return Plan(
        create_on=tuple(seat.node for seat in seats if not by_node.get(seat.node)),
        delete=tuple(name for name, pod in doomed.items() if not is_deleting(pod)),
        failed=tuple(name_of(pod) for pod in failed if not is_deleting(pod)),
        status=_status(daemon_set, seats, sum(1 for node in by_node if node and node not in names)),
    )


def revision_of(daemon_set: Json) -> str:
    """A digest of the template: pods that carry another one are outdated."""
    template = json.dumps(daemon_set["spec"]["template"], sort_keys=True).encode()
    return hashlib.sha256(template).hexdigest()[:REVISION_LENGTH]


def owner_reference(daemon_set: Json) -> Json:
    """How a pod names the DaemonSet that controls it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": name_of(daemon_set),
        "uid": uid_of(daemon_set),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def would_own(daemon_set: Json, pod: Json) -> bool:
    """Whether the DaemonSet's selector means this pod, and a node is known that it is for."""
    here = namespace_of(pod) == namespace_of(daemon_set) and bool(node_of(pod))
    return here and selects(daemon_set["spec"]["selector"], labels_of(pod))


def new_pod(daemon_set: Json, node: str) -> Json:
    """The pod for one node, as it is sent to the API (the scheduler binds it)."""
    template = copy.deepcopy(daemon_set["spec"]["template"])
    metadata = template.get("metadata") or {}
    spec = pod_spec(daemon_set)
    spec["affinity"] = _pinned(spec.get("affinity") or {}, node)
    return {
        "metadata": {
            "generateName": f"{name_of(daemon_set)}-",
            "namespace": namespace_of(daemon_set),
            "labels": {
                **(metadata.get("labels") or {}),
                REVISION_LABEL: revision_of(daemon_set),
                GENERATION_LABEL: daemon_set["metadata"]["annotations"][TEMPLATE_GENERATION],
            },
            **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
            "ownerReferences": [owner_reference(daemon_set)],
        },
        "spec": spec,
    }


def pod_spec(daemon_set: Json) -> Json:
    """The template's spec with the tolerations that every DaemonSet pod gets."""
    spec: Json = copy.deepcopy(daemon_set["spec"]["template"]["spec"])
    added = [
        *_TOLERATED_ALWAYS,
        *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else []),
    ]
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect} for key, effect in added
    ]
    spec["tolerations"] = [*(spec.get("tolerations") or []), *tolerations]
    return spec


def node_of(pod: Json) -> str:
    """The node that a DaemonSet's pod is meant for, bound or not."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field["key"] == NODE_FIELD:
                return str(field["values"][0])
    return ""


def allowed_unavailable(daemon_set: Json, desired: int) -> int:
    """`maxUnavailable` in nodes; a percentage is rounded up, so that 1 % of 3 nodes is one node."""
    rolling = daemon_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
    value = rolling.get("maxUnavailable", 1)
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(desired * int(value[:-1]) / 100)
    return int(value)


def _should_run(spec: Json, node: Json) -> bool:
    return matches_node(spec, node) and untolerated_taint(spec, node, ALL_STOPPING) is None


def _may_stay(spec: Json, node: Json) -> bool:
    return matches_node(spec, node) and untolerated_taint(spec, node, EVICTING) is None


def _by_node(pods: Sequence[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], name_of(pod))):
        found.setdefault(node_of(pod), []).append(pod)
    return found


def _living(pods: Sequence[Json]) -> tuple[Json, ...]:
    return tuple(pod for pod in pods if not is_deleting(pod) and not _has_failed(pod))


def _has_failed(pod: Json) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Failed")


def _outdated(daemon_set: Json, seats: Sequence[_Seat], lingering: Sequence[_Seat]) -> list[Json]:
    if daemon_set["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        return []
    revision = revision_of(daemon_set)
    unavailable = sum(1 for seat in seats if not any(is_ready(pod) for pod in seat.pods))
    current = [pod for seat in (*seats, *lingering) for pod in seat.pods[:1]]
    old = [pod for pod in current if labels_of(pod).get(REVISION_LABEL) != revision]
    broken = [pod for pod in old if not is_ready(pod)]
    serving = [pod for pod in old if is_ready(pod)]
    spare = max(0, allowed_unavailable(daemon_set, len(seats)) - unavailable)
    return [*broken, *serving[:spare]]


def _status(daemon_set: Json, seats: Sequence[_Seat], misscheduled: int) -> Json:
    revision = revision_of(daemon_set)
    current = [seat.pods[0] for seat in seats if seat.pods]
    ready = sum(1 for pod in current if is_ready(pod))
    status: Json = {
        "currentNumberScheduled": len(current),
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": len(seats),
        "numberReady": ready,
        "observedGeneration": daemon_set["metadata"]["generation"],
    }
    updated = sum(1 for pod in current if labels_of(pod).get(REVISION_LABEL) == revision)
    counts = {
        "updatedNumberScheduled": updated,
        "numberAvailable": ready,
        "numberUnavailable": len(seats) - ready,
    }
    # Go's omitempty: a zero is not shown.
    return {**status, **{key: value for key, value in counts.items() if value}}


def _pinned(affinity: Json, node: str) -> Json:
    fields = [{"key": NODE_FIELD, "operator": "In", "values": [node]}]
    # As the real controller: the template's own terms go, it has evaluated them for this node.
    return {
        **affinity,
        "nodeAffinity": {
            **(affinity.get("nodeAffinity") or {}),
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": fields}]
            },
        },
    }
