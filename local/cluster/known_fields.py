"""Which fields each kind has, read off the official client's models, and what becomes of others. Pure.

As in the real server: a field that nobody knows is never stored. `fieldValidation=Strict` refuses it (kubectl
asks for that), `Warn` tells of it in a header (the default), `Ignore` is silent; server-side apply always
refuses.
"""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes.client import models

from local.cluster.failures import ApiError, Cause, bad_request, invalid
from local.cluster.resources import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.cluster.requests import ApiRequest
    from local.cluster.resources import Kind

POLICIES = ("Strict", "Warn", "Ignore")

_LIST = re.compile(r"list\[(.+)\]")
_MAP = re.compile(r"dict\[str, (.+)\]")


def pruned(kind: Kind, item: Any) -> tuple[Any, list[str]]:
    """The object without the fields that its kind does not have, and where they were."""
    unknown: list[str] = []
    return _prune(item, _model_of(kind), "", unknown), unknown


def known(request: ApiRequest, item: Any) -> tuple[Any, tuple[str, ...]]:
    """What a request may store of an object, and what it is warned of; raises where it asked for that."""
    policy = request.query.get("fieldValidation") or "Warn"
    if policy not in POLICIES:
        raise bad_request(f'invalid fieldValidation "{policy}": it is {", ".join(POLICIES)}')
    rest, unknown = pruned(request.kind, item)
    told = tuple(f'unknown field "{path}"' for path in unknown)
    if told and policy == "Strict":
        raise _refusal(request, told)
    return rest, told if policy == "Warn" else ()


def check_applied(request: ApiRequest, item: Any) -> None:
    """Refuse an apply that says a field which its kind does not have, whatever the policy."""
    kind = request.kind
    _, unknown = pruned(kind, item)
    if unknown:
        where = f"{request.namespace}/{request.name}; {kind.api_version}, Kind={kind.kind}"
        raise ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "",
            f"failed to create typed patch object ({where}): .{unknown[0]}: field not declared in schema",
        )


def _refusal(request: ApiRequest, told: Sequence[str]) -> ApiError:
    kind, problem = request.kind, f"strict decoding error: {', '.join(told)}"
    if request.verb == "patch":
        return invalid(kind, request.name, [Cause(field="patch", message=f"Invalid value: {problem}")])
    what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
    return bad_request(f"{what}: {problem}")


def _prune(value: Any, type_name: str, path: str, unknown: list[str]) -> Any:
    if isinstance(value, list) and (of := _LIST.fullmatch(type_name)):
        return [_prune(part, of[1], f"{path}[{index}]", unknown) for index, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if of := _MAP.fullmatch(type_name):
        return {key: _prune(part, of[1], f"{path}.{key}", unknown) for key, part in value.items()}
    fields = _fields(type_name)
    if fields is None:
        return value
    kept = {}
    for key, part in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in fields:
            kept[key] = _prune(part, fields[key], where, unknown)
        else:
            unknown.append(where)
    return kept


@cache
def _fields(type_name: str) -> Mapping[str, str] | None:
    """A model's fields by their JSON names, each with its type; None for what is no model."""
    model = getattr(models, type_name, None)
    if model is None:
        return None
    return {model.attribute_map[name]: type_ for name, type_ in model.openapi_types.items()}


def _model_of(kind: Kind) -> str:
    return "CoreV1Event" if kind == EVENTS else f"V1{kind.kind}"
