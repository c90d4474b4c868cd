"""A policy that refuses workloads with hostPath at the door, as managed clusters have them. Pure.

In force in a namespace, a DaemonSet or Job is refused itself and not only its pods. The words are those of
Azure Policy's Gatekeeper, and of AKS Automatic's own policy.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from local.cluster.failures import ApiError, details_of
from local.cluster.objects import Json, name_of
from local.cluster.resources import DAEMON_SETS, JOBS, PODS

if TYPE_CHECKING:
    from local.cluster.resources import Kind

ANNOTATION = "laptop.stack/deployment-safeguards"
"""Of a namespace: which policy it is under."""

_CONSTRAINT = "azurepolicy-k8sazurev3hostfilesystem-adbc8c998a99e902b9a8"
_POLICY = "aks-managed-baseline-hostpath-volumes"


def check(namespace: Json, kind: Kind, item: Json) -> ApiError | None:
    """The refusal of an object with hostPath volumes, if its namespace is under a policy."""
    policy = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION)
    if policy not in POLICIES or kind not in {DAEMON_SETS, JOBS, PODS}:
        return None
    spec = item["spec"] if kind == PODS else item["spec"]["template"]["spec"]
    volumes = [volume for volume in spec.get("volumes") or [] if "hostPath" in volume]
    return POLICIES[policy](kind, name_of(item), volumes) if volumes else None


def _gatekeeper(_kind: Kind, name: str, volumes: list[Json]) -> ApiError:
    told = [
        f"[{_CONSTRAINT}] HostPath volume {json.dumps(volume, sort_keys=True)} is not allowed, pod: {name}. "
        "Allowed path: []"
        for volume in volumes
    ]
    message = 'admission webhook "validation.gatekeeper.sh" denied the request: ' + "\n".join(told)
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", message)


def _validating_policy(kind: Kind, name: str, volumes: list[Json]) -> ApiError:
    told = (
        f"HostPath volumes detected: [{', '.join(volume['name'] for volume in volumes)}]\n"
        "HostPath volumes are forbidden under restricted security policy unless containers mounting them are "
        "from allowed images."
    )
    message = (
        f"{kind.qualified} \"{name}\" is forbidden: ValidatingAdmissionPolicy '{_POLICY}' with binding "
        f"'{_POLICY}-binding' denied request: {told}"
    )
    # A policy that names no reason refuses as Invalid, though the sentence says forbidden.
    details = {**details_of(kind, name), "causes": [{"message": told}]}
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message, details)


POLICIES = {"gatekeeper": _gatekeeper, "validating-policy": _validating_policy}
"""By the name that the control knows them by."""
