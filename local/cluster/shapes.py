"""The JSON types of the fields that this cluster reads: what does not fit is refused at the door.

A shape is a type, a list of one shape, or a dictionary of shapes by field (`*`: every other field). Fields
that no shape names are kept as they are: the real server's types are wider than what is imitated here.
"""

from __future__ import annotations

from typing import Any

from local.cluster.failures import bad_request
from local.cluster.objects import Json
from local.cluster.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    JOBS,
    MUTATING_WEBHOOKS,
    NODES,
    PODS,
    SECRETS,
    Kind,
)

_TEXTS = {"*": str}
_SELECTOR = {"matchLabels": _TEXTS, "matchExpressions": [{"key": str, "operator": str, "values": [str]}]}
_METADATA = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "finalizers": [str],
    "ownerReferences": [{"uid": str, "name": str, "kind": str, "apiVersion": str}],
    "resourceVersion": str,
}
_KEY_REFERENCE = {"name": str, "key": str}
_CONTAINER = {
    "name": str,
    "image": str,
    "imagePullPolicy": str,
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [
        {
            "name": str,
            "value": str,
            "valueFrom": {
                "fieldRef": {"fieldPath": str},
                "configMapKeyRef": _KEY_REFERENCE,
                "secretKeyRef": _KEY_REFERENCE,
            },
        }
    ],
    "envFrom": [{"prefix": str, "configMapRef": {"name": str}, "secretRef": {"name": str}}],
    "resources": {"requests": {"*": (str, int, float)}, "limits": {"*": (str, int, float)}},
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool}],
    "securityContext": {
        "runAsUser": int,
        "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [str], "add": [str]},
    },
}
_KEYED_SOURCE = {"name": str, "secretName": str, "items": [{"key": str, "path": str}], "optional": bool}
_VOLUME = {
    "name": str,
    "hostPath": {"path": str, "type": str},
    "configMap": _KEYED_SOURCE,
    "secret": _KEYED_SOURCE,
    "emptyDir": {},
    "downwardAPI": {"items": [{"path": str, "fieldRef": {"fieldPath": str}}]},
}
_TOLERATION = {"key": str, "operator": str, "value": str, "effect": str}
_NODE_TERM = {
    "matchExpressions": [{"key": str, "operator": str, "values": [str]}],
    "matchFields": [{"key": str, "operator": str, "values": [str]}],
}
_POD_SPEC = {
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": [_VOLUME],
    "nodeName": str,
    "nodeSelector": _TEXTS,
    "tolerations": [_TOLERATION],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_NODE_TERM]}
        }
    },
    "restartPolicy": str,
    "serviceAccountName": str,
    "terminationGracePeriodSeconds": int,
    "hostNetwork": bool,
    "securityContext": {"runAsUser": int},
}
_STATUS = {"phase": str, "conditions": [{"type": str, "status": str}], "allocatable": {"*": (str, int)}}
_TEMPLATE = {"metadata": _METADATA, "spec": _POD_SPEC}

_SHAPES: dict[Kind, Any] = {
    PODS: {"metadata": _METADATA, "spec": _POD_SPEC, "status": _STATUS},
    DAEMON_SETS: {
        "metadata": _METADATA,
        "spec": {
            "selector": _SELECTOR,
            "template": _TEMPLATE,
            "updateStrategy": {
                "type": str,
                "rollingUpdate": {"maxUnavailable": (int, str), "maxSurge": (int, str)},
            },
        },
        "status": {},
    },
    JOBS: {"metadata": _METADATA, "spec": {"template": _TEMPLATE}, "status": {}},
    CONFIG_MAPS: {"metadata": _METADATA, "data": _TEXTS, "binaryData": _TEXTS, "immutable": bool},
    SECRETS: {"metadata": _METADATA, "data": _TEXTS, "stringData": _TEXTS, "immutable": bool},
    NODES: {
        "metadata": _METADATA,
        "spec": {"unschedulable": bool, "taints": [{"key": str, "value": str, "effect": str}]},
        "status": _STATUS,
    },
    MUTATING_WEBHOOKS: {
        "metadata": _METADATA,
        "webhooks": [
            {
                "name": str,
                "clientConfig": {"url": str, "caBundle": str},
                "rules": [
                    {"operations": [str], "apiGroups": [str], "apiVersions": [str], "resources": [str]}
                ],
                "failurePolicy": str,
                "timeoutSeconds": int,
                "sideEffects": str,
                "admissionReviewVersions": [str],
                "namespaceSelector": _SELECTOR,
                "objectSelector": _SELECTOR,
            }
        ],
    },
}
_ANY_OBJECT = {"metadata": _METADATA, "spec": {}, "status": {}, "involvedObject": _TEXTS}


def shaped(kind: Kind, item: Any) -> Json:
    """The object without its nulls; raises 400 when a field has the wrong JSON type."""
    if not isinstance(item, dict):
        raise bad_request("the body of the request must be one JSON object")
    fitted: Json = _fit(kind, item, _SHAPES.get(kind, _ANY_OBJECT), "")
    return fitted


def _fit(kind: Kind, value: Any, shape: Any, path: str) -> Any:
    if isinstance(shape, dict):
        _expect(kind, value, dict, path)
        fitted = ((key, part, shape.get(key, shape.get("*"))) for key, part in value.items())
        return {
            key: part if inner is None else _fit(kind, part, inner, f"{path}.{key}")
            for key, part, inner in fitted
            # Go decodes null into the empty value, as if nothing had been said.
            if part is not None
        }
    if isinstance(shape, list):
        _expect(kind, value, list, path)
        return [_fit(kind, part, shape[0], path) for part in value]
    _expect(kind, value, shape, path)
    return value


def _expect(kind: Kind, value: Any, wanted: type | tuple[type, ...], path: str) -> None:
    allowed = wanted if isinstance(wanted, tuple) else (wanted,)
    # To Python, True is an int; to Go it is not.
    if isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool)):
        return
    named = " or ".join(_GO_NAMES[each] for each in allowed)
    raise bad_request(
        f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}: json: cannot unmarshal "
        f"{_json_name(value)} into Go struct field {kind.kind}{path} of type {named}"
    )


_GO_NAMES: dict[type, str] = {
    str: "string",
    int: "int64",
    float: "float64",
    bool: "bool",
    dict: "struct",
    list: "slice",
}


def _json_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "bool", int: "number", float: "number", str: "string", dict: "object", list: "array"}
    return names[type(value)]
