"""Server-side apply: who owns which field, and what an owner's next word changes. Pure.

A field is a path of steps: a key of an object, or `(merge key, value)` for an element of a list that merges
like a map. A manager owns the fields that it applied last. What it no longer applies goes, unless somebody
else owns it too; what another manager applied with another value is a conflict, unless forced. Only
appliers are tracked: who writes by PUT or PATCH owns nothing here.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from local.cluster.failures import ApiError, Cause, bad_request, details_of
from local.cluster.objects import Json, name_of, timestamp, utc_now
from local.cluster.patching import MERGE_KEYS, strategic_patch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cluster.resources import Kind

APPLY_TYPE = "application/apply-patch+yaml"

IDENTITY = frozenset({"apiVersion", "kind"})
UNOWNED_METADATA = frozenset(
    {"name", "namespace", "managedFields", "uid", "resourceVersion", "creationTimestamp"}
)

Step = str | tuple[str, Any]
Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Who applies, and whether it takes fields from others."""

    manager: str
    force: bool

    def __post_init__(self) -> None:
        """A manager must be named."""
        if not self.manager:
            why = "fieldManager: Required value: is required for apply patch"
            raise bad_request(f"PatchOptions.meta.k8s.io is invalid: {why}")


def applied(kind: Kind, before: Json, said: Json, applier: Applier) -> Json:
    """The object after `said`; raises 409 with every field that somebody else sees otherwise."""
    fields = set(fields_of(said))
    owners = _owners(before)
    others = {manager: owned for manager, owned in owners.items() if manager != applier.manager}
    contested = {
        (path, manager)
        for manager, owned in others.items()
        for path in owned & fields
        if value_at(before, path) != value_at(said, path)
    }
    if contested and not applier.force:
        raise _conflict(kind, before, contested)
    after = copy.deepcopy(before)
    for path in owners.get(applier.manager, set()) - fields - set().union(*others.values()):
        _remove(after, path)
    merged = strategic_patch(after, {**said, "metadata": {**(said.get("metadata") or {})}})
    lost = {path for path, _ in contested}
    kept = {manager: owned - lost for manager, owned in others.items()}
    return with_owners(merged, {**kept, applier.manager: fields})


def with_owners(item: Json, owners: dict[str, set[Path]]) -> Json:
    """The object with `metadata.managedFields` that say who owns what."""
    known = {entry["manager"]: entry for entry in item["metadata"].get("managedFields") or []}
    entries = [
        _entry(item, manager, fields, known.get(manager)) for manager, fields in owners.items() if fields
    ]
    return {**item, "metadata": {**item["metadata"], "managedFields": entries}}


def fields_of(said: Json) -> Iterator[Path]:
    """The fields that somebody who sends this object has an opinion on."""
    for path in _leaves(said, ()):
        if path[0] in IDENTITY or (path[0] == "metadata" and path[1:2] and path[1] in UNOWNED_METADATA):
            continue
        yield path


def value_at(item: Any, path: Path) -> Any:
    """What is at a path; None where nothing is."""
    for step in path:
        item = _child(item, step)
    return item


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif path and isinstance(path[-1], str) and _is_map_like(path[-1], value):
        merge_key = MERGE_KEYS[path[-1]]
        for element in value:
            yield from _leaves(element, (*path, (merge_key, element[merge_key])))
    else:
        yield path


def _is_map_like(key: str, value: Any) -> bool:
    return (
        key in MERGE_KEYS
        and isinstance(value, list)
        and bool(value)
        and all(isinstance(element, dict) and MERGE_KEYS[key] in element for element in value)
    )


def _child(item: Any, step: Step) -> Any:
    if isinstance(step, str):
        return item.get(step) if isinstance(item, dict) else None
    merge_key, wanted = step
    elements = item if isinstance(item, list) else []
    return next((element for element in elements if element.get(merge_key) == wanted), None)


def _remove(item: Any, path: Path) -> None:
    if _names_element(path):
        _remove_element(item, path[:-1])
        return
    parent, last = value_at(item, path[:-1]), path[-1]
    if isinstance(parent, dict) and isinstance(last, str):
        parent.pop(last, None)


def _names_element(path: Path) -> bool:
    """Whether this is the merge key of a list's element, which whoever has a say in the element says too."""
    return len(path) > 1 and not isinstance(path[-2], str) and path[-2][0] == path[-1]


def _remove_element(item: Any, path: Path) -> None:
    """With all that is in it: what was filled in by default belongs to nobody."""
    elements, element = value_at(item, path[:-1]), value_at(item, path)
    if isinstance(elements, list) and element is not None:
        elements.remove(element)


def _owners(item: Json) -> dict[str, set[Path]]:
    return {
        entry["manager"]: set(_decoded(entry["fieldsV1"], ()))
        for entry in item["metadata"].get("managedFields") or []
        if entry.get("operation") == "Apply"
    }


def _entry(item: Json, manager: str, fields: set[Path], known: Json | None) -> Json:
    encoded = _encoded(fields)
    if known and known["fieldsV1"] == encoded:
        return known
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": item["apiVersion"],
        "time": timestamp(utc_now()),
        "fieldsType": "FieldsV1",
        "fieldsV1": encoded,
    }


def _encoded(fields: set[Path]) -> Json:
    tree: Json = {}
    for path in sorted(fields, key=str):
        node = tree
        for step in path:
            node = node.setdefault(_encoded_step(step), {})
    return tree


def _encoded_step(step: Step) -> str:
    if isinstance(step, str):
        return f"f:{step}"
    return f"k:{json.dumps({step[0]: step[1]}, separators=(',', ':'))}"


def _decoded(tree: Json, path: Path) -> Iterator[Path]:
    if not tree:
        yield path
    for key, inner in tree.items():
        flag, _, text = key.partition(":")
        step: Step = text if flag == "f" else next(iter(json.loads(text).items()))
        yield from _decoded(inner, (*path, step))


def _conflict(kind: Kind, item: Json, contested: set[tuple[Path, str]]) -> ApiError:
    found = sorted((_dotted(path), manager) for path, manager in contested)
    causes = [
        Cause(field=field, message=f'conflict with "{manager}"', reason="FieldManagerConflict")
        for field, manager in found
    ]
    told = ", ".join(f'conflict with "{manager}": {field}' for field, manager in found)
    plural = "conflict" if len(found) == 1 else "conflicts"
    details = {**details_of(kind, name_of(item)), "causes": [cause.as_json() for cause in causes]}
    message = f"Apply failed with {len(found)} {plural}: {told}"
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details)


def _dotted(path: Path) -> str:
    return "".join(
        f".{step}" if isinstance(step, str) else f"[{step[0]}={json.dumps(step[1])}]" for step in path
    )
