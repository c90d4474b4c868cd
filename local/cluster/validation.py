"""The rules that objects must keep, as Kubernetes tells them: a list of causes, each with its field. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.cluster.failures import Cause, invalid
from local.cluster.metadata_rules import SUBDOMAIN_LENGTH, bad_value, label_causes, metadata_causes
from local.cluster.objects import Json, labels_of, name_of
from local.cluster.placement_rules import node_causes, owner_causes, selector_causes
from local.cluster.pod_rules import job_causes, pod_causes, pod_change_causes, template_causes
from local.cluster.podsecurity import namespace_causes
from local.cluster.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    JOBS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    Kind,
)
from local.cluster.selectors import selects
from local.cluster.webhook_rules import webhook_causes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DATA_BYTES = 1024 * 1024
"""A ConfigMap's or a Secret's data altogether: etcd's own limit is just above."""

_DATA_KEY = r"[-._a-zA-Z0-9]+"
_DATA_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    f"'KEY_NAME',  or 'key-name', regex used for validation is '{_DATA_KEY}')"
)
_FROZEN = "Forbidden: field is immutable when `immutable` is set"


def validate(kind: Kind, item: Json, before: Json | None) -> None:
    """Raise 422 with every cause unless the object keeps its kind's rules; `before` is None for a new one."""
    causes = [*metadata_causes(kind, item), *owner_causes(item)]
    if kind in _RULES:
        causes.extend(_RULES[kind](item))
    if before is not None and kind in _CHANGE_RULES:
        causes.extend(_CHANGE_RULES[kind](item, before))
    if causes:
        raise invalid(kind, name_of(item), causes)


def _daemon_set_causes(item: Json) -> Iterator[Cause]:
    spec = item["spec"]
    labels = labels_of(spec["template"])
    wrong = [*selector_causes("spec.selector", spec.get("selector") or {})]
    yield from wrong
    if not spec.get("selector"):
        yield Cause(field="spec.selector", message="Required value", reason="FieldValueRequired")
    elif not wrong and not selects(spec["selector"], labels):
        yield bad_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from label_causes("spec.template.metadata.labels", labels)
    yield from _strategy_causes(spec["updateStrategy"])
    yield from template_causes(spec["template"])


def _strategy_causes(strategy: Json) -> Iterator[Cause]:
    field, kind = "spec.updateStrategy", strategy["type"]
    if kind not in {"RollingUpdate", "OnDelete"}:
        message = f'Unsupported value: "{kind}": supported values: "OnDelete", "RollingUpdate"'
        yield Cause(field=f"{field}.type", message=message, reason="FieldValueNotSupported")
    if kind != "RollingUpdate":
        return
    rolling = strategy["rollingUpdate"]
    field = f"{field}.rollingUpdate"
    unavailable = rolling["maxUnavailable"]
    if isinstance(unavailable, str) and not re.fullmatch(r"\d+%", unavailable):
        why = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%')"
        )
        yield bad_value(f"{field}.maxUnavailable", unavailable, why)
    if unavailable in {0, "0%"}:
        yield bad_value(f"{field}.maxUnavailable", unavailable, "cannot be 0 when `maxSurge` is 0")
    if rolling["maxSurge"] not in {0, "0%"}:
        yield bad_value(f"{field}.maxSurge", rolling["maxSurge"], "surging is not imitated by this cluster")


def _data_causes(item: Json) -> Iterator[Cause]:
    entries = {**(item.get("data") or {}), **(item.get("binaryData") or {})}
    for key in entries:
        if not re.fullmatch(_DATA_KEY, key) or len(key) > SUBDOMAIN_LENGTH:
            yield bad_value(f"data[{key}]", key, _DATA_KEY_RULE)
    if sum(len(value.encode()) for value in entries.values()) > DATA_BYTES:
        why = f"Too long: may not be more than {DATA_BYTES} bytes"
        yield Cause(field="[]", message=why, reason="FieldValueTooLong")


def _data_change_causes(item: Json, before: Json) -> Iterator[Cause]:
    if not before.get("immutable"):
        return
    if not item.get("immutable"):
        yield Cause(field="immutable", message=_FROZEN, reason="FieldValueForbidden")
    for field in ("data", "binaryData"):
        if (item.get(field) or {}) != (before.get(field) or {}):
            yield Cause(field=field, message=_FROZEN, reason="FieldValueForbidden")


def _daemon_set_change_causes(item: Json, before: Json) -> Iterator[Cause]:
    if item["spec"].get("selector") != before["spec"]["selector"]:
        yield bad_value("spec.selector", item["spec"].get("selector"), "field is immutable")


def _job_change_causes(item: Json, before: Json) -> Iterator[Cause]:
    if item["spec"]["template"] != before["spec"]["template"]:
        yield bad_value("spec.template", item["spec"]["template"], "field is immutable")


_RULES: dict[Kind, Callable[[Json], Iterable[Cause]]] = {
    DAEMON_SETS: _daemon_set_causes,
    MUTATING_WEBHOOKS: webhook_causes,
    NAMESPACES: namespace_causes,
    NODES: node_causes,
    PODS: pod_causes,
    JOBS: job_causes,
    CONFIG_MAPS: _data_causes,
    SECRETS: _data_causes,
}

_CHANGE_RULES: dict[Kind, Callable[[Json, Json], Iterable[Cause]]] = {
    DAEMON_SETS: _daemon_set_change_causes,
    PODS: pod_change_causes,
    JOBS: _job_change_causes,
    CONFIG_MAPS: _data_change_causes,
    SECRETS: _data_change_causes,
}
