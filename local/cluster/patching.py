"""Pure patches: JSON merge (RFC 7396), Kubernetes' strategic merge, and JSON patch (RFC 6902).

Each returns a new object and leaves what it was given alone.
"""

from __future__ import annotations

import copy
from typing import Any

from local.cluster.failures import ApiError, bad_request
from local.cluster.objects import Json

MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "ports": "containerPort",
    "secrets": "name",
    "taints": "key",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists of objects that merge like maps, and the key within each element."""

SET_LISTS = frozenset({"finalizers"})
"""Lists of plain values that a strategic merge adds to."""

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM_PREFIX = "$deleteFromPrimitiveList/"
ORDER_PREFIX = "$setElementOrder/"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, everything else replaces.

    >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_patch(target: Json, patch: Json) -> Json:
    """Kubernetes' merge: known lists merge by key, `$patch: delete|replace` are obeyed."""
    if patch.get(DIRECTIVE) == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != DIRECTIVE}
    merged = dict(target)
    if RETAIN_KEYS in patch:
        merged = {key: value for key, value in merged.items() if key in patch[RETAIN_KEYS]}
    for key, value in patch.items():
        if key in {DIRECTIVE, RETAIN_KEYS} or key.startswith(ORDER_PREFIX):
            continue
        _merge_strategically(merged, key, value)
    return merged


def json_patch(target: Json, operations: Any) -> Json:
    """RFC 6902; raises 400 for what is no patch, 422 for one that cannot be applied."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    document: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply_operation(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _inapplicable(operation) from error
    if not isinstance(document, dict):
        raise bad_request("a JSON patch must leave an object")
    return document


def _merge_strategically(merged: Json, key: str, value: Any) -> None:
    if key.startswith(DELETE_FROM_PREFIX):
        name = key.removeprefix(DELETE_FROM_PREFIX)
        merged[name] = [item for item in merged.get(name) or [] if item not in value]
    elif value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        before = merged.get(key)
        merged[key] = strategic_patch(before if isinstance(before, dict) else {}, value)
    elif isinstance(value, list) and key in SET_LISTS:
        before = merged.get(key) or []
        merged[key] = [*before, *(item for item in value if item not in before)]
    elif _is_keyed(key, value):
        merged[key] = _merge_keyed(merged.get(key) or [], value, MERGE_KEYS[key])
    else:
        merged[key] = copy.deepcopy(value)


def _is_keyed(key: str, value: Any) -> bool:
    return (
        key in MERGE_KEYS
        and isinstance(value, list)
        and all(isinstance(item, dict) and (MERGE_KEYS[key] in item or DIRECTIVE in item) for item in value)
    )


def _merge_keyed(before: list[Json], patch: list[Json], merge_key: str) -> list[Json]:
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if DIRECTIVE not in item]
    merged = {item.get(merge_key): item for item in before}
    for item in patch:
        identity = item.get(merge_key)
        if item.get(DIRECTIVE) == "delete":
            merged.pop(identity, None)
        else:
            merged[identity] = strategic_patch(merged.get(identity, {}), item)
    return list(merged.values())


def _apply_operation(document: Any, operation: Json) -> Any:
    verb, path = operation["op"], _pointer(operation["path"])
    if verb == "add":
        return _put(document, path, copy.deepcopy(operation["value"]), insert=True)
    if verb == "replace":
        _look_up(document, path)
        return _put(document, path, copy.deepcopy(operation["value"]), insert=False)
    if verb == "remove":
        return _take(document, path)
    if verb == "test":
        if _look_up(document, path) != operation["value"]:
            raise ValueError("test failed")
        return document
    source = _pointer(operation["from"])
    value = copy.deepcopy(_look_up(document, source))
    if verb == "move":
        document = _take(document, source)
    elif verb != "copy":
        raise ValueError(f"no operation {verb!r}")
    return _put(document, path, value, insert=True)


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _look_up(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _put(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _look_up(document, path[:-1]), path[-1]
    if not isinstance(parent, list):
        parent[last] = value
    elif last == "-":
        parent.append(value)
    elif insert:
        if int(last) > len(parent):
            raise IndexError(last)
        parent.insert(int(last), value)
    else:
        parent[int(last)] = value
    return document


def _take(document: Any, path: list[str]) -> Any:
    parent, last = _look_up(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document


def _inapplicable(operation: Any) -> ApiError:
    message = f"the server rejected our request due to an error in our request: cannot apply {operation}"
    return ApiError(422, "Invalid", message, {})
