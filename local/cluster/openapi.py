"""As much OpenAPI as kubectl reads before it writes: the server checks fields itself, and knows dry runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.resources import GROUP_VERSIONS, KINDS, Kind

if TYPE_CHECKING:
    from local.cluster.objects import Json

ROOT = "/openapi/v3"

_PARAMETERS = [
    {"name": name, "in": "query"} for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]


def document(path: str) -> Json | None:
    """The document at a path, or None when there is none."""
    places = {_place(group, version): (group, version) for group, version in GROUP_VERSIONS}
    if path == ROOT:
        return {"paths": {place: {"serverRelativeURL": f"{ROOT}/{place}"} for place in places}}
    found = places.get(path.removeprefix(f"{ROOT}/"))
    if found is None or not path.startswith(ROOT):
        return None
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == found]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.0"},
        "paths": {_path(kind): {"patch": _operation(kind)} for kind in kinds},
    }


def _place(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _path(kind: Kind) -> str:
    namespace = "namespaces/{namespace}/" if kind.namespaced else ""
    return f"/{_place(kind.group, kind.version)}/{namespace}{kind.plural}/{{name}}"


def _operation(kind: Kind) -> Json:
    identity = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {"parameters": _PARAMETERS, "responses": {}, "x-kubernetes-group-version-kind": identity}
