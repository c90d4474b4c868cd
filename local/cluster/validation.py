"""The rules that objects must keep, told as Kubernetes tells them: a list of causes, each naming its field. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from local.cluster.failures import Cause, invalid
from local.cluster.objects import Json, name_of
from local.cluster.pod_rules import job_causes, pod_causes, template_causes
from local.cluster.resources import CONFIG_MAPS, DAEMON_SETS, JOBS, NAMESPACES, PODS, SECRETS, Kind
from local.cluster.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Callable

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_LABEL_NAME = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_DATA_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")

SUBDOMAIN_LENGTH = 253
LABEL_LENGTH = 63

DATA_BYTES = 1024 * 1024
"""A ConfigMap's or a Secret's data altogether: etcd's own limit is just above."""


def validate(kind: Kind, item: Json, before: Json | None) -> None:
    """Raise 422 with every cause unless the object keeps its kind's rules; `before` is None for a new one."""
    causes = [*_metadata_causes(kind, item), *_RULES.get(kind, _no_rules)(item)]
    if before is not None:
        causes.extend(_change_causes(kind, item, before))
    if causes:
        raise invalid(kind, name_of(item), causes)


def _no_rules(item: Json) -> list[Cause]:
    del item
    return []


def _metadata_causes(kind: Kind, item: Json) -> list[Cause]:
    return [
        *_name_causes(kind, name_of(item)),
        *_label_causes("metadata.labels", item["metadata"].get("labels") or {}),
    ]


def _name_causes(kind: Kind, name: str) -> list[Cause]:
    is_label = kind in {NAMESPACES}
    pattern, limit = (_LABEL, LABEL_LENGTH) if is_label else (_SUBDOMAIN, SUBDOMAIN_LENGTH)
    causes = []
    if not re.fullmatch(pattern, name):
        what = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
            "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
            if is_label
            else "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'example.com', "
        )
        causes.append(_bad("metadata.name", name, f"{what}regex used for validation is '{pattern}')"))
    if len(name) > limit:
        causes.append(_bad("metadata.name", name, f"must be no more than {limit} characters"))
    return causes


def _label_causes(field: str, labels: dict[str, str]) -> list[Cause]:
    causes = []
    for key, value in labels.items():
        if not _LABEL_NAME.match(key.rpartition("/")[2]) or len(key.rpartition("/")[2]) > LABEL_LENGTH:
            causes.append(
                _bad(field, key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
            )
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            causes.append(
                _bad(
                    field,
                    str(value),
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
                    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
                    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                )
            )
        elif len(value) > LABEL_LENGTH:
            causes.append(_bad(field, value, f"must be no more than {LABEL_LENGTH} characters"))
    return causes


def _daemon_set_causes(item: Json) -> list[Cause]:
    spec = item["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    causes = []
    if not spec.get("selector"):
        causes.append(Cause(field="spec.selector", message="Required value", reason="FieldValueRequired"))
    elif not selects(spec["selector"], labels):
        told = json.dumps(labels, separators=(",", ":"), sort_keys=True)
        why = f"Invalid value: {told}: `selector` does not match template `labels`"
        causes.append(Cause(field="spec.template.metadata.labels", message=why))
    causes.extend(_label_causes("spec.template.metadata.labels", labels))
    return [*causes, *_strategy_causes(spec["updateStrategy"]), *template_causes(spec["template"])]


def _strategy_causes(strategy: Json) -> list[Cause]:
    field = "spec.updateStrategy"
    if strategy["type"] not in {"RollingUpdate", "OnDelete"}:
        return [
            Cause(
                field=f"{field}.type",
                message=f'Unsupported value: "{strategy["type"]}": supported values: "OnDelete", "RollingUpdate"',
                reason="FieldValueNotSupported",
            )
        ]
    rolling = strategy.get("rollingUpdate") or {}
    if rolling.get("maxSurge", 0) not in {0, "0%"}:
        return [_bad(f"{field}.rollingUpdate.maxSurge", rolling["maxSurge"], "not imitated by this cluster")]
    unavailable = rolling.get("maxUnavailable", 1)
    if isinstance(unavailable, str) and not re.fullmatch(r"\d+%", unavailable):
        why = "a valid percent string must be a numeric string followed by an ending '%'"
        return [_bad(f"{field}.rollingUpdate.maxUnavailable", unavailable, why)]
    if strategy["type"] == "RollingUpdate" and unavailable in {0, "0%"}:
        why = "cannot be 0 when `maxSurge` is 0"
        return [_bad(f"{field}.rollingUpdate.maxUnavailable", unavailable, why)]
    return []


def _data_causes(item: Json) -> list[Cause]:
    causes = [
        _bad(
            f"data[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        )
        for key in {**(item.get("data") or {}), **(item.get("binaryData") or {})}
        if not _DATA_KEY.match(key) or len(key) > SUBDOMAIN_LENGTH
    ]
    values = [*(item.get("data") or {}).values(), *(item.get("binaryData") or {}).values()]
    if sum(len(str(value).encode()) for value in values) > DATA_BYTES:
        why = f"Too long: may not be more than {DATA_BYTES} bytes"
        causes.append(Cause(field="[]", message=why, reason="FieldValueTooLong"))
    return causes


def _change_causes(kind: Kind, item: Json, before: Json) -> list[Cause]:
    if kind in {CONFIG_MAPS, SECRETS} and before.get("immutable"):
        return _immutable_data_causes(item, before)
    if kind == DAEMON_SETS and item["spec"]["selector"] != before["spec"]["selector"]:
        told = json.dumps(item["spec"]["selector"], separators=(",", ":"))
        return [_bad("spec.selector", told, "field is immutable", quote=False)]
    if kind == JOBS and item["spec"]["template"] != before["spec"]["template"]:
        return [_bad("spec.template", "...", "field is immutable", quote=False)]
    return []


def _immutable_data_causes(item: Json, before: Json) -> list[Cause]:
    causes = []
    if not item.get("immutable"):
        why = "Forbidden: field is immutable when `immutable` is set"
        causes.append(Cause(field="immutable", message=why, reason="FieldValueForbidden"))
    for field in ("data", "binaryData"):
        if (item.get(field) or {}) != (before.get(field) or {}):
            why = "Forbidden: field is immutable when `immutable` is set"
            causes.append(Cause(field=field, message=why, reason="FieldValueForbidden"))
    return causes


def _bad(field: str, value: object, why: str, *, quote: bool = True) -> Cause:
    shown = json.dumps(value) if quote else value
    return Cause(field=field, message=f"Invalid value: {shown}: {why}")


_RULES: dict[Kind, Callable[[Json], list[Cause]]] = {
    DAEMON_SETS: _daemon_set_causes,
    PODS: pod_causes,
    JOBS: job_causes,
    CONFIG_MAPS: _data_causes,
    SECRETS: _data_causes,
}
