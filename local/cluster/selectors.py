"""Label and field selectors: parsed once, then asked of each object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from local.cluster.failures import bad_request
from local.cluster.objects import Json, labels_of
from local.cluster.resources import EVENTS, JOBS, NAMESPACES, NODES, PODS, SECRETS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TERMS = re.compile(r"[^,(]+(?:\([^)]*\)?)?")
_SET = re.compile(r"^([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)$")
_EQUAL = re.compile(r"^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$")
_PRESENCE = re.compile(r"^(!?)\s*([\w./-]+)$")
_FIELD = re.compile(r"^([\w.]+)(==|=|!=)(.*)$")

# What the real server lets a field selector name, besides an object's name and namespace.
_FIELDS: dict[Kind, tuple[str, ...]] = {
    PODS: (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        *("spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
    ),
    NODES: ("spec.unschedulable",),
    NAMESPACES: ("status.phase",),
    SECRETS: ("type",),
    JOBS: ("status.successful",),
    EVENTS: (
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
        *("involvedObject.resourceVersion", "involvedObject.fieldPath"),
        *("reason", "reportingComponent", "source", "type"),
    ),
}
_ELSEWHERE = {"source": "source.component", "status.successful": "status.succeeded"}
_EMPTY = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.successful": "0"}

Operator = Literal["in", "notin", "exists", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet it; `notin` holds where the label is missing."""
        if self.operator == "in":
            return labels.get(self.key) in self.values
        if self.operator == "notin":
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator == "exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRequirement:
    """One term of a field selector."""

    label: str
    value: str
    equal: bool

    def holds(self, item: Json) -> bool:
        """Whether the object's field has (or has not) this value; a missing field has Go's empty value."""
        found: Any = item
        for part in _ELSEWHERE.get(self.label, self.label).split("."):
            found = found.get(part) if isinstance(found, dict) else None
        text = _EMPTY.get(self.label, "") if found is None else _text(found)
        return (text == self.value) == self.equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a list or a watch asks for."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.labels and not self.fields

    def holds(self, item: Json) -> bool:
        """Whether the object is asked for."""
        known = labels_of(item)
        return all(term.holds(known) for term in self.labels) and all(
            term.holds(item) for term in self.fields
        )


def parse_selection(kind: Kind, labels: str, fields: str) -> Selection:
    """From the query parameters `labelSelector` and `fieldSelector`; raises 400."""
    terms = parse_fields(fields)
    everywhere = ("metadata.name", "metadata.namespace") if kind.namespaced else ("metadata.name",)
    for term in terms:
        if term.label not in {*everywhere, *_FIELDS.get(kind, ())}:
            raise bad_request(f"field label not supported: {term.label}")
    return Selection(labels=parse_labels(labels), fields=terms)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """A label selector as `kubectl -l` takes it.

    >>> [term.operator for term in parse_labels("app=a, tier in (x, y), !old, new")]
    ['in', 'in', 'absent', 'exists']
    """
    return tuple(_parse_label(term.strip()) for term in _TERMS.findall(text))


def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """A field selector: `spec.nodeName=a,status.phase!=Failed`."""
    return tuple(_parse_field(term.strip()) for term in text.split(",") if term.strip())


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether an object's own selector (`matchLabels`, `matchExpressions`) matches labels."""
    return all(term.holds(labels) for term in requirements_of(selector))


def requirements_of(selector: Json) -> list[Requirement]:
    """An object's own selector as terms."""
    equal = [
        Requirement(key=key, operator="in", values=frozenset({value}))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    return [*equal, *(_expression(term) for term in selector.get("matchExpressions") or [])]


def expressions_hold(expressions: Sequence[Json], labels: Mapping[str, str]) -> bool:
    """Whether `matchExpressions` of a node selector, with Gt and Lt too, match labels."""
    return all(_node_expression_holds(term, labels) for term in expressions)


def _node_expression_holds(term: Json, labels: Mapping[str, str]) -> bool:
    if term["operator"] not in {"Gt", "Lt"}:
        return _expression(term).holds(labels)
    value = labels.get(term["key"], "")
    if not value.isdigit():
        return False
    bound = int(term["values"][0])
    return int(value) > bound if term["operator"] == "Gt" else int(value) < bound


def _expression(term: Json) -> Requirement:
    operators: dict[str, Operator] = {
        "In": "in",
        "NotIn": "notin",
        "Exists": "exists",
        "DoesNotExist": "absent",
    }
    return Requirement(
        key=term["key"],
        operator=operators[term["operator"]],
        values=frozenset(term.get("values") or ()),
    )


def _parse_label(term: str) -> Requirement:
    if found := _SET.match(term):
        values = frozenset(value.strip() for value in found[3].split(","))
        return Requirement(key=found[1], operator="in" if found[2] == "in" else "notin", values=values)
    if found := _EQUAL.match(term):
        operator: Operator = "notin" if found[2] == "!=" else "in"
        return Requirement(key=found[1], operator=operator, values=frozenset({found[3]}))
    if found := _PRESENCE.match(term):
        return Requirement(key=found[2], operator="absent" if found[1] else "exists")
    if "(" in term:
        raise bad_request("unable to parse requirement: found '(', expected: identifier")
    raise bad_request(f"unable to parse requirement: {term}")


def _parse_field(term: str) -> FieldRequirement:
    found = _FIELD.match(term)
    if not found:
        raise bad_request(
            f"invalid selector: '{term}'; can't understand '{term}'; not of the form field=value"
        )
    return FieldRequirement(label=found[1], value=found[3].strip(), equal=found[2] != "!=")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
