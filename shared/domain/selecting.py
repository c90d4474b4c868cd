"""Which nodes a warm-up targets, read off the API server's list of nodes.

Nodes that carry the wanted labels, where any does: should taints keep the pods out of all of them, none
is a target, since searches run there and nowhere else. Else every Linux node that is not virtual and not of
a system pool; a cluster whose only pools are system pools that admit ordinary pods counts with those,
since an older dashboard made its clusters so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.foreign import Json, mapping, objects
from shared.domain.model import Node, NodeSelection

Labels = tuple[tuple[str, str], ...]

_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")
_MODE_LABEL = "kubernetes.azure.com/mode"
_CRITICAL_ONLY = "CriticalAddonsOnly"
_BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")
_DAEMONSETS_TOLERATE = "node.kubernetes.io/"  # the controller adds these by itself
_QUANTITY = re.compile(r"(\d{1,18})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRules:
    """What an operator has set about nodes."""

    labels: Labels
    tolerated_taints: tuple[str, ...]  # `key=value:Effect`


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The rule, in a DaemonSet's words, and the nodes it means now."""

    selection: NodeSelection
    nodes: tuple[Node, ...]  # by name
    barring_taints: tuple[str, ...] = ()  # what keeps the pods out of every wanted node


def select_nodes(items: Sequence[Json], rules: NodeRules) -> Selected:
    """Choose among the nodes of a cluster."""
    linux = [item for item in items if _is_linux(item)]
    possible = [item for item in linux if not _barring(item, rules)]
    wanted = [item for item in linux if rules.labels and _has(item, rules.labels)]
    if wanted:
        labelled = _selected(
            [item for item in wanted if item in possible], rules, labels=rules.labels, excluded=()
        )
        return labelled if labelled.nodes else replace(labelled, barring_taints=_all_barring(wanted, rules))
    users = [item for item in possible if not _is_system(item)]
    chosen = users or possible
    excluded = {_pool(item) for item in items if _is_system(item)} - {_pool(item) for item in chosen}
    return _selected(chosen, rules, labels=(), excluded=tuple(sorted(excluded - {""})))


def bytes_of(quantity: object) -> int:
    """A Kubernetes quantity in bytes; 0 for what is none.

    >>> bytes_of("129886128Ki"), bytes_of("2G"), bytes_of("a lot")
    (133003395072, 2000000000, 0)
    """
    match = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return int(match[1]) * _UNITS[match[2] or ""] if match else 0


def _selected(
    chosen: Sequence[Json], rules: NodeRules, *, labels: Labels, excluded: tuple[str, ...]
) -> Selected:
    return Selected(
        selection=NodeSelection(
            labels=labels, excluded_pools=excluded, tolerated_taints=rules.tolerated_taints
        ),
        nodes=tuple(sorted((_node(item) for item in chosen), key=lambda node: node.name)),
    )


def _is_linux(item: Json) -> bool:
    labels = _labels(item)
    return labels.get("kubernetes.io/os") == "linux" and labels.get("type") != "virtual-kubelet"


def _all_barring(items: Sequence[Json], rules: NodeRules) -> tuple[str, ...]:
    return tuple(sorted({taint for item in items for taint in _barring(item, rules)}))


def _barring(item: Json, rules: NodeRules) -> tuple[str, ...]:
    """The taints that keep the pods out, as WARMUP_TOLERATIONS would name them."""
    return tuple(_words(taint) for taint in _taints(item) if not _tolerated(taint, rules.tolerated_taints))


def _words(taint: Json) -> str:
    key, value, effect = _parts(taint)
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


def _tolerated(taint: Json, tolerated: tuple[str, ...]) -> bool:
    key, value, effect = _parts(taint)
    if effect not in _BLOCKING_EFFECTS or key.startswith(_DAEMONSETS_TOLERATE):
        return True
    return f"{key}={value}:{effect}" in tolerated or f"{key}:{effect}" in tolerated


def _parts(taint: Json) -> tuple[str, str, str]:
    return str(taint.get("key") or ""), str(taint.get("value") or ""), str(taint.get("effect") or "")


def _has(item: Json, wanted: Labels) -> bool:
    labels = _labels(item)
    return all(labels.get(key) == value for key, value in wanted)


def _is_system(item: Json) -> bool:
    critical = any(taint.get("key") == _CRITICAL_ONLY for taint in _taints(item))
    return critical or _labels(item).get(_MODE_LABEL) == "system"


def _pool(item: Json) -> str:
    labels = _labels(item)
    return next((str(labels[name]) for name in _POOL_LABELS if labels.get(name)), "")


def _node(item: Json) -> Node:
    metadata, status = mapping(item, "metadata"), mapping(item, "status")
    return Node(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        pool=_pool(item),
        schedulable=mapping(item, "spec").get("unschedulable") is not True,
        ready=_is_ready(status),
        disk_bytes=bytes_of(mapping(status, "capacity").get("ephemeral-storage")),
    )


def _is_ready(status: Json) -> bool:
    conditions = objects(status, "conditions")
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _labels(item: Json) -> Json:
    return mapping(mapping(item, "metadata"), "labels")


def _taints(item: Json) -> Sequence[Json]:
    return objects(mapping(item, "spec"), "taints")
