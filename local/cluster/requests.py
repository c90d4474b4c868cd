"""What a request asks for: path, verb and query as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.cluster.failures import bad_request, method_not_allowed, unknown_path
from local.cluster.resources import Kind, find_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUE_WORDS = frozenset({"1", "t", "true"})
"""Clients send `true`; the generated Python clients up to 36 send `True`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request for a resource."""

    verb: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)

    def flag(self, key: str) -> bool:
        """A boolean of the query, however it is spelt."""
        return self.query.get(key, "").lower() in TRUE_WORDS

    def number(self, key: str) -> int | None:
        """A whole number of the query, or None; raises 400."""
        text = self.query.get(key, "")
        if not text:
            return None
        if not text.lstrip("-").isdigit():
            raise bad_request(f'unable to parse {key} "{text}": it must be a whole number')
        return int(text)

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be kept."""
        return self.query.get("dryRun") == "All"


def parse_request(method: str, path: str, query: Mapping[str, str]) -> ApiRequest:
    """Make sense of `/api/v1/namespaces/x/pods/y/log` and its like; raises 404 and 405."""
    parts = [part for part in path.split("/") if part]
    group, version, rest = _split_group(parts)
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in {"status", "finalize"}:  # noqa: PLR2004 - ns, its name, what is in it
        namespace, rest = rest[1], rest[2:]
    kind = find_kind(group, version, rest[0]) if rest else None
    if kind is None or (namespace and not kind.namespaced):
        raise unknown_path(path)
    name, subresource = [*rest[1:3], "", ""][:2]
    if subresource and subresource not in kind.subresources:
        raise unknown_path(path)
    watching = query.get("watch", "").lower() in TRUE_WORDS
    return ApiRequest(
        verb=_verb(method, name=name, watching=watching),
        kind=kind,
        namespace=namespace,
        name=name,
        subresource=subresource,
        query=query,
    )


def _split_group(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[:1] == ["api"] and parts[1:]:
        return "", parts[1], parts[2:]
    if parts[:1] == ["apis"] and parts[2:]:
        return parts[1], parts[2], parts[3:]
    raise unknown_path("/" + "/".join(parts))


def _verb(method: str, *, name: str, watching: bool) -> str:
    if method == "GET":
        if watching:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    verbs = {("POST", False): "create", ("PUT", True): "update", ("PATCH", True): "patch"}
    verb = verbs.get((method, bool(name)))
    if verb is None:
        raise method_not_allowed()
    return verb
