"""The rules for selectors, affinity, taints and owners: what controllers read without asking. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.container_rules import quantity_causes, required, unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cluster.failures import Cause
    from local.cluster.objects import Json

SELECTOR_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
NODE_OPERATORS = SELECTOR_OPERATORS | {"Gt", "Lt"}
TAINT_EFFECTS = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})


def placement_causes(field: str, spec: Json) -> Iterator[Cause]:
    """What is wrong with a pod's required node affinity."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is None:
        return
    field = f"{field}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    yield from required(field, wanted, "nodeSelectorTerms")
    for index, term in enumerate(wanted.get("nodeSelectorTerms") or []):
        for group in ("matchExpressions", "matchFields"):
            where = f"{field}.nodeSelectorTerms[{index}].{group}"
            yield from _expression_causes(where, term.get(group) or [], NODE_OPERATORS)


def selector_causes(field: str, selector: Json) -> Iterator[Cause]:
    """What is wrong with a label selector."""
    expressions = selector.get("matchExpressions") or []
    yield from _expression_causes(f"{field}.matchExpressions", expressions, SELECTOR_OPERATORS)


def node_causes(item: Json) -> Iterator[Cause]:
    """What is wrong with a node."""
    for index, taint in enumerate(item.get("spec", {}).get("taints") or []):
        field = f"spec.taints[{index}]"
        yield from required(field, taint, "key")
        if taint.get("effect") not in TAINT_EFFECTS:
            yield unsupported(f"{field}.effect", taint.get("effect", ""), TAINT_EFFECTS)
    yield from quantity_causes("status.allocatable", item.get("status", {}).get("allocatable") or {})


def owner_causes(item: Json) -> Iterator[Cause]:
    """What is wrong with an object's owners."""
    for index, owner in enumerate(item["metadata"].get("ownerReferences") or []):
        field = f"metadata.ownerReferences[{index}]"
        yield from required(field, owner, "apiVersion", "kind", "name", "uid")


def _expression_causes(field: str, expressions: list[Json], operators: frozenset[str]) -> Iterator[Cause]:
    for index, term in enumerate(expressions):
        where = f"{field}[{index}]"
        yield from required(where, term, "key")
        operator = term.get("operator", "")
        if operator not in operators:
            yield unsupported(f"{where}.operator", operator, operators)
        elif operator not in {"Exists", "DoesNotExist"}:
            yield from required(where, term, "values")
