"""Nodes as objects: how one is born, and the taints and pod conditions that follow from its state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from local.cluster.objects import (
    Json,
    condition_of,
    is_deleting,
    is_ready,
    labels_of,
    name_of,
    namespace_of,
    timestamp,
    utc_now,
)
from local.cluster.resources import NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cluster.store import Store

SIMULATED = "laptop/simulated"
"""The label of nodes whose pods become ready without a process."""

KUBELET_VERSION = "v1.34.0-laptop"

NODE_CPUS = "4"
NODE_MEMORY = "16Gi"
NODE_PODS = "110"

_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)

_TAINT_KEYS = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/disk-pressure",
)
"""Taints that follow from a node's state; all others are somebody's own."""


def new_node(name: str, *, simulated: bool = False) -> Json:
    """A ready node of a user pool."""
    now = timestamp(utc_now())
    resources = {"cpu": NODE_CPUS, "memory": NODE_MEMORY, "pods": NODE_PODS}
    return {
        "metadata": {"name": name, "labels": _labels(name, simulated=simulated), "annotations": {}},
        "spec": {"providerID": f"laptop:///{name}"},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                *(_condition(kind, "False", (reason, message), now) for kind, reason, message in _PRESSURES),
                _condition("Ready", "True", ("KubeletReady", "kubelet is posting ready status"), now),
            ],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": _info(),
        },
    }


def is_simulated(node: Json) -> bool:
    """Whether its pods become ready without a process."""
    return labels_of(node).get(SIMULATED) == "true"


def with_readiness(node: Json, *, ready: bool) -> Json:
    """The node as it reports, or as the control plane sees one that stopped reporting."""
    now = timestamp(utc_now())
    if ready:
        condition = _condition("Ready", "True", ("KubeletReady", "kubelet is posting ready status"), now)
    else:
        why = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        condition = _condition("Ready", "Unknown", why, now)
    conditions = [known for known in node["status"].get("conditions") or [] if known["type"] != "Ready"]
    return {**node, "status": {**node["status"], "conditions": [*conditions, condition]}}


def taints_of(node: Json) -> list[Json]:
    """The taints that a node must carry: its own and those that follow from its state. Pure."""
    own: list[Json] = [taint for taint in node["spec"].get("taints") or [] if taint["key"] not in _TAINT_KEYS]
    followed: list[tuple[str, Sequence[str]]] = []
    ready = (condition_of(node, "Ready") or {}).get("status")
    if ready == "False":
        followed.append(("not-ready", ("NoSchedule", "NoExecute")))
    if ready == "Unknown":
        followed.append(("unreachable", ("NoSchedule", "NoExecute")))
    if node["spec"].get("unschedulable"):
        followed.append(("unschedulable", ("NoSchedule",)))
    if (condition_of(node, "DiskPressure") or {}).get("status") == "True":
        followed.append(("disk-pressure", ("NoSchedule",)))
    added = [
        {"key": f"node.kubernetes.io/{key}", "effect": effect}
        for key, effects in followed
        for effect in effects
    ]
    return [*own, *added]


def sync_nodes(store: Store) -> None:
    """Give nodes their taints, and pods on silent nodes their condition; forget pods of nodes that left."""
    nodes = store.list(NODES)
    for node in nodes:
        taints = taints_of(node)
        if taints != (node["spec"].get("taints") or []):
            spec = {key: value for key, value in node["spec"].items() if key != "taints"}
            store.update(NODES, {**node, "spec": {**spec, **({"taints": taints} if taints else {})}})
    known = {name_of(node) for node in nodes}
    silent = {name_of(node) for node in nodes if not is_ready(node)}
    for pod in store.list(PODS):
        where = pod["spec"].get("nodeName")
        if where and where not in known:
            # Pod garbage collection: nobody is left who could stop it.
            store.remove(PODS, namespace_of(pod), name_of(pod))
        elif where in silent and is_ready(pod) and not is_deleting(pod):
            store.update(PODS, _unready(pod))


def _unready(pod: Json) -> Json:
    now = timestamp(utc_now())
    conditions = [
        {**known, "status": "False", "lastTransitionTime": now} if known["type"] == "Ready" else known
        for known in pod["status"]["conditions"]
    ]
    return {**pod, "status": {**pod["status"], "conditions": conditions}}


def _labels(name: str, *, simulated: bool) -> dict[str, str]:
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.azure.com/agentpool": "user",
        "kubernetes.azure.com/mode": "user",
    }
    return {**labels, SIMULATED: "true"} if simulated else labels


def _condition(kind: str, status: str, why: tuple[str, str], now: str) -> Json:
    reason, message = why
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def _info() -> Json:
    return {
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": os.uname().release,
        "osImage": "laptop",
        "containerRuntimeVersion": "bubblewrap://0",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
