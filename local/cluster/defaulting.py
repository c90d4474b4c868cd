"""What the API server fills in: pure, one function per kind that has defaults."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING

from local.cluster.objects import Json, containers_of
from local.cluster.resources import (
    DAEMON_SETS,
    JOBS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation that counts changes of a DaemonSet's template."""

GRACE_SECONDS = 30
"""Kubernetes' default for `terminationGracePeriodSeconds`."""


def with_defaults(kind: Kind, item: Json) -> Json:
    """A copy of the object with the defaults of its kind."""
    filled = copy.deepcopy(item)
    fill = _DEFAULTS.get(kind)
    if fill:
        fill(filled)
    return filled


def fresh_status(kind: Kind, item: Json) -> Json | None:
    """The status that a new object has, whatever it brought along; None where a kind has none of its own."""
    if kind == PODS:
        return {"phase": "Pending", "qosClass": quality_of_service(item)}
    return copy.deepcopy(_FRESH_STATUSES.get(kind))


def quality_of_service(pod: Json) -> str:
    """The class that the kubelet evicts by."""
    resources = [container.get("resources") or {} for container in containers_of(pod)]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    bounded = all({"cpu", "memory"} <= (entry.get("limits") or {}).keys() for entry in resources)
    equal = all((entry.get("requests") or {}) == (entry.get("limits") or {}) for entry in resources)
    return "Guaranteed" if bounded and equal else "Burstable"


def _namespace(item: Json) -> None:
    labels = item["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = item["metadata"]["name"]
    item["spec"] = {"finalizers": ["kubernetes"], **(item.get("spec") or {})}


def _node(item: Json) -> None:
    item.setdefault("spec", {})
    item.setdefault("status", {})


def _daemon_set(item: Json) -> None:
    item["metadata"].setdefault("annotations", {}).setdefault(TEMPLATE_GENERATION, "1")
    spec = item.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = {"maxUnavailable": 1, "maxSurge": 0, **rolling}
    _pod_template(spec.setdefault("template", {}))


def _job(item: Json) -> None:
    spec = item.setdefault("spec", {})
    for key, value in (("parallelism", 1), ("completions", 1), ("backoffLimit", 6), ("suspend", False)):
        spec.setdefault(key, value)
    _pod_template(spec.setdefault("template", {}))


def _pod_template(template: Json) -> None:
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))


def _pod(item: Json) -> None:
    spec = item.setdefault("spec", {})
    _pod_spec(spec)
    name = spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", name)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _pod_spec(spec: Json) -> None:
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        _container(container)
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _container(container: Json) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image", "")
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    container.setdefault("imagePullPolicy", "Always" if tag in {"", "latest"} else "IfNotPresent")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")
    limits = container["resources"].get("limits")
    if limits:
        container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def _volume(volume: Json) -> None:
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in ("configMap", "secret"):
        if source in volume:
            volume[source].setdefault("defaultMode", 0o644)


def _secret(item: Json) -> None:
    item.setdefault("type", "Opaque")
    plain = item.pop("stringData", {})
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    if encoded:
        item["data"] = {**(item.get("data") or {}), **encoded}


def _mutating_webhooks(item: Json) -> None:
    defaults = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "reinvocationPolicy": "Never",
        "timeoutSeconds": 10,
    }
    item["webhooks"] = [{**defaults, **webhook} for webhook in item.get("webhooks") or []]


_FRESH_STATUSES: dict[Kind, Json] = {
    NAMESPACES: {"phase": "Active"},
    DAEMON_SETS: {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    JOBS: {},
}

_DEFAULTS: dict[Kind, Callable[[Json], None]] = {
    NAMESPACES: _namespace,
    NODES: _node,
    PODS: _pod,
    DAEMON_SETS: _daemon_set,
    JOBS: _job,
    MUTATING_WEBHOOKS: _mutating_webhooks,
    SECRETS: _secret,
}
