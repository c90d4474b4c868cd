"""What a cluster shows of its warmth, whoever warmed it: several lists side by side, within a dashboard's patience.

A part that does not answer in time is named; it never looks like a part that is empty.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http import HTTPStatus
from typing import cast

from kubernetes.client.exceptions import ApiException

from shared.adapters.errors import SDK_ERRORS, RefusedError, fault_of
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions
from shared.domain import naming
from shared.domain.model import Cluster
from shared.domain.refusals import Refusal
from shared.domain.warmth import Sighting
from shared.ports import PassingError

_SECONDS_ALL = 8  # the whole answer has ten
_SECONDS_EACH = 6
_DEFAULT = f"namespaces/{naming.NAMESPACE}"
_OURS = (("labelSelector", naming.SELECTOR),)
_LISTS = {
    "daemon sets": (f"/apis/apps/v1/{_DEFAULT}/daemonsets", _OURS),
    "pods": (f"/api/v1/{_DEFAULT}/pods", _OURS),
    "jobs": (f"/apis/batch/v1/{_DEFAULT}/jobs", (("labelSelector", "app=setup"),)),
    "namespaces": ("/api/v1/namespaces", ()),
}
_OBJECTS = {
    "create-workspace": "/apis/apps/v1/namespaces/kube-system/daemonsets/create-workspace",
    "vmtouch-db-cache": f"/apis/apps/v1/{_DEFAULT}/daemonsets/vmtouch-db-cache",
}


class KubernetesMonitor:
    """The port `Monitor`."""

    def __init__(self, sessions: KubernetesSessions) -> None:
        """Keep the way to the clusters."""
        self._sessions = sessions
