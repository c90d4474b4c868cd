"""What this server serves, told to clients that ask: versions, groups, resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cluster.resources import GROUP_VERSIONS, KINDS, Kind

if TYPE_CHECKING:
    from local.cluster.objects import Json

VERSION: Json = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0-laptop",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

CATEGORIES = {"Pod": ["all"], "DaemonSet": ["all"], "Job": ["all"]}
"""What `kubectl get all` shows."""


def answer(path: str) -> Json | None:
    """The document at a discovery path, or None when the path is none."""
    parts = tuple(part for part in path.split("/") if part)
    if parts == ("version",):
        return VERSION
    if parts == ("api",):
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ("apis",):
        groups = [_group(group, version) for group, version in GROUP_VERSIONS if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    for group, version in GROUP_VERSIONS:
        if group and parts == ("apis", group):
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)}
        if parts == (("apis", group, version) if group else ("api", version)):
            return _resources(group, version)
    return None


def _group(group: str, version: str) -> Json:
    preferred = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [preferred], "preferredVersion": preferred}


def _resources(group: str, version: str) -> Json:
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    entries = [entry for kind in kinds for entry in [_entry(kind), *_subresources(kind)]]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": entries,
    }


def _entry(kind: Kind) -> Json:
    entry: Json = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": VERBS,
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.kind in CATEGORIES:
        entry["categories"] = CATEGORIES[kind.kind]
    return entry


def _subresources(kind: Kind) -> list[Json]:
    return [
        {
            "name": f"{kind.plural}/{subresource}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": ["get"] if subresource == "log" else ["get", "patch", "update"],
        }
        for subresource in kind.subresources
    ]
