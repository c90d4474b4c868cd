"""What a cluster shows of its warmth, whoever warmed it: lists side by side, within a dashboard's patience.

A part that does not answer in time is named; it never looks like a part that is empty.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http import HTTPStatus
from typing import cast

from kubernetes.client.exceptions import ApiException

from shared.adapters.errors import SDK_ERRORS, RefusedError, fault_of
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions
from shared.domain import looking, naming
from shared.domain.model import Cluster
from shared.domain.refusals import Refusal
from shared.domain.warmth import Sighting
from shared.ports import PassingError

_SECONDS_ALL = 8  # the whole answer has ten
_SECONDS_EACH = 6
_DEFAULT = f"namespaces/{naming.NAMESPACE}"
_OURS = (("labelSelector", naming.SELECTOR),)
_NODES = Ask(
    path="/api/v1/nodes",
    headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"},
    read_seconds=_SECONDS_EACH,
)
_LISTS = {
    "daemon sets": (f"/apis/apps/v1/{_DEFAULT}/daemonsets", _OURS),
    "pods": (f"/api/v1/{_DEFAULT}/pods", _OURS),
    "jobs": (f"/apis/batch/v1/{_DEFAULT}/jobs", (("labelSelector", "app=setup"),)),
    "namespaces": ("/api/v1/namespaces", ()),
    "events": (f"/api/v1/{_DEFAULT}/events", (("fieldSelector", "reason=FailedCreate"),)),
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

    def sight(self, cluster: Cluster) -> Sighting | Refusal:
        """Ask for everything at once; a refusal, or silence to all of it, is about the cluster itself."""
        reads = self._reads(cluster)
        answers: dict[str, object] = {}
        faults: list[str] = []
        for name, read in reads.items():
            try:
                answers[name] = read.result(timeout=0)
            except RefusedError as refused:
                return refused.refusal
            except TimeoutError:
                faults.append(f"{name} did not answer within {_SECONDS_ALL} s")
            except (*SDK_ERRORS, PassingError) as error:
                faults.append(f"{name} could not be read ({_told(error)})")
        if not answers:
            raise PassingError(f"cluster {cluster.name!r} does not answer: {faults[0]}")
        return _sighting(answers, tuple(faults))

    def _reads(self, cluster: Cluster) -> dict[str, "Future[object]"]:
        threads = ThreadPoolExecutor(len(_LISTS) + len(_OBJECTS) + 1, thread_name_prefix="sight")
        reads: dict[str, Future[object]] = {
            name: threads.submit(self._sessions.items, cluster, *place) for name, place in _LISTS.items()
        }
        reads |= {name: threads.submit(self._object, cluster, path) for name, path in _OBJECTS.items()}
        reads["nodes"] = threads.submit(self._sessions.read, cluster, _NODES)
        wait(reads.values(), timeout=_SECONDS_ALL)
        threads.shutdown(wait=False, cancel_futures=True)
        return reads

    def _object(self, cluster: Cluster, path: str) -> Json | None:
        try:
            return self._sessions.read(cluster, Ask(path=path, read_seconds=_SECONDS_EACH))
        except ApiException as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise


def _sighting(answers: Mapping[str, object], faults: tuple[str, ...]) -> Sighting:
    def listed(name: str) -> tuple[Json, ...]:
        return tuple(cast("list[Json]", answers.get(name, [])))

    return Sighting(
        workspace=cast("Json | None", answers.get("create-workspace")),
        vmtouch=cast("Json | None", answers.get("vmtouch-db-cache")),
        daemon_sets=listed("daemon sets"),
        pods=listed("pods"),
        nodes=looking.nodes_in(cast("Json", answers.get("nodes", {}))),
        made=looking.made_in(cast("Json", answers.get("nodes", {}))),
        jobs=listed("jobs"),
        namespaces=listed("namespaces"),
        refusals=listed("events"),
        faults=faults,
    )


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, PassingError) else str(fault_of(error))
