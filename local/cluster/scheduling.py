"""Where a pod may run: node selectors, affinity, taints and room. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.objects import Json, labels_of, name_of
from local.cluster.quantities import parse_quantity
from local.cluster.selectors import expressions_hold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PODS_PER_NODE = 110
"""Kubernetes' default when a node names no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A node for a pod, or why there is none."""

    node: str | None
    message: str = ""


def matches_node(spec: Json, node: Json) -> bool:
    """Whether nodeName, nodeSelector and required node affinity of a pod's spec allow this node."""
    if spec.get("nodeName") not in {None, "", name_of(node)}:
        return False
    labels = labels_of(node)
    selector: dict[str, str] = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    terms = _required_terms(spec)
    return terms is None or any(_term_holds(term, node) for term in terms)


def untolerated_taint(spec: Json, node: Json, effects: frozenset[str]) -> Json | None:
    """The first taint with one of these effects that the pod's spec does not tolerate."""
    tolerations = spec.get("tolerations") or []
    taints: list[Json] = node.get("spec", {}).get("taints") or []
    return next(
        (
            taint
            for taint in taints
            if taint["effect"] in effects and not any(tolerates(known, taint) for known in tolerations)
        ),
        None,
    )


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    if toleration.get("key") not in {None, "", taint["key"]}:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def place(pod: Json, nodes: Sequence[Json], pods_by_node: Mapping[str, Sequence[Json]]) -> Placement:
    """The emptiest node that takes the pod; the message counts the reasons as the real scheduler's does."""
    reasons: Counter[str] = Counter()
    fitting: list[str] = []
    for node in nodes:
        reason = _obstacle(pod, node, pods_by_node.get(name_of(node), ()))
        if reason:
            reasons[reason] += 1
        else:
            fitting.append(name_of(node))
    if fitting:
        return Placement(node=min(fitting, key=lambda name: (len(pods_by_node.get(name, ())), name)))
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Placement(node=None, message=f"0/{len(nodes)} nodes are available: {told or 'no node'}.")


def requests_of(pod: Json) -> dict[str, float]:
    """What a pod takes from its node: the larger of its biggest init container and all its containers."""
    spec = pod["spec"]
    return {
        resource: max(
            sum(_request(container, resource) for container in spec["containers"]),
            max((_request(container, resource) for container in spec.get("initContainers") or []), default=0),
        )
        for resource in ("cpu", "memory")
    }


def _obstacle(pod: Json, node: Json, neighbours: Sequence[Json]) -> str | None:
    spec = pod["spec"]
    if not matches_node(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    taint = untolerated_taint(spec, node, frozenset({"NoSchedule", "NoExecute"}))
    if taint and taint["key"] == "node.kubernetes.io/unschedulable":
        return "node(s) were unschedulable"
    if taint:
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return _shortage(pod, node, neighbours)


def _shortage(pod: Json, node: Json, neighbours: Sequence[Json]) -> str | None:
    allocatable = node.get("status", {}).get("allocatable") or {}
    if len(neighbours) >= int(allocatable.get("pods", DEFAULT_PODS_PER_NODE)):
        return "Too many pods"
    wanted = requests_of(pod)
    taken = [requests_of(neighbour) for neighbour in neighbours]
    for resource, amount in wanted.items():
        room = parse_quantity(allocatable.get(resource, "0"))
        if amount and amount + sum(entry[resource] for entry in taken) > room:
            return f"Insufficient {resource}"
    return None


def _required_terms(spec: Json) -> list[Json] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required["nodeSelectorTerms"]


def _term_holds(term: Json, node: Json) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    named = {"metadata.name": name_of(node)}
    return expressions_hold(expressions, labels_of(node)) and expressions_hold(fields, named)


def _request(container: Json, resource: str) -> float:
    requests = (container.get("resources") or {}).get("requests") or {}
    return parse_quantity(requests.get(resource, "0"))
