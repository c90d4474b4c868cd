"""A container's environment: what the image has, what the pod says, what is injected beside it."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from local.cluster.nodes.statuses import HOST_ADDRESS
from local.cluster.objects import Json, labels_of, name_of, namespace_of
from local.cluster.resources import CONFIG_MAPS, SECRETS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.cluster.store import Store

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_EXPANSION = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_KEYED = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


class ConfigError(Exception):
    """It names something that is not there: the container waits with CreateContainerConfigError."""


def environment_of(store: Store, pod: Json, container: Json, injected: Mapping[str, str]) -> dict[str, str]:
    """All variables of one container; the pod's own win over injected ones. Raises ConfigError."""
    node = str(pod["spec"].get("nodeName", ""))
    host = node if pod["spec"].get("hostNetwork") else name_of(pod)
    known = {"PATH": SEARCH_PATH, "HOSTNAME": host, "HOME": "/root"}
    known |= {name: value.replace("{node}", node) for name, value in injected.items()}
    for source in container.get("envFrom") or []:
        known |= _all_of(store, namespace_of(pod), source)
    for variable in container.get("env") or []:
        value = _value(store, pod, variable, known)
        if value is not None:
            known[variable["name"]] = value
    return known


def expand(text: str, known: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`; an unknown name stays as it is.

    >>> expand("$(A)-$(B)-$$(A)", {"A": "1"})
    '1-$(B)-$(A)'
    """
    return _EXPANSION.sub(lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]), text)


def field_value(pod: Json, path: str) -> str:
    """What a `fieldRef` names; empty when the pod has no such field."""
    if keyed := _KEYED.match(path):
        entries = labels_of(pod) if keyed[1] == "labels" else pod["metadata"].get("annotations") or {}
        return str(entries.get(keyed[2], ""))
    addresses = {"status.hostIP": HOST_ADDRESS, "status.podIP": HOST_ADDRESS}
    if path in addresses:
        return addresses[path]
    found: Any = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def _value(store: Store, pod: Json, variable: Json, known: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"])
    for kind, key in ((CONFIG_MAPS, "configMapKeyRef"), (SECRETS, "secretKeyRef")):
        if key in source:
            return _referenced(store, namespace_of(pod), kind, source[key])
    raise ConfigError(f"env {variable['name']}: {', '.join(source)} is not imitated by this cluster")


def _referenced(store: Store, namespace: str, kind: Kind, reference: Json) -> str | None:
    item = store.find(kind, namespace, reference["name"])
    if item is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{kind.kind.lower()} "{reference["name"]}" not found')
    data = _text_data(kind, item)
    if reference["key"] not in data:
        if reference.get("optional"):
            return None
        raise ConfigError(
            f"couldn't find key {reference['key']} in {kind.kind} {namespace}/{reference['name']}"
        )
    return data[reference["key"]]


def _all_of(store: Store, namespace: str, source: Json) -> dict[str, str]:
    for kind, key in ((CONFIG_MAPS, "configMapRef"), (SECRETS, "secretRef")):
        if key in source:
            item = store.find(kind, namespace, source[key]["name"])
            if item is None and not source[key].get("optional"):
                raise ConfigError(f'{kind.kind.lower()} "{source[key]["name"]}" not found')
            prefix = source.get("prefix", "")
            return {prefix + name: value for name, value in _text_data(kind, item or {}).items()}
    return {}


def _text_data(kind: Kind, item: Json) -> dict[str, str]:
    data: dict[str, str] = item.get("data") or {}
    if kind == CONFIG_MAPS:
        return data
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
