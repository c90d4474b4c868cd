"""One look at a run's nodes: a few lists, the logs that are worth reading, made sense of by the domain.

Lists are asked for once per cluster, whatever the number of databases; logs of at most 32 busy nodes, so
that the others keep what they reported last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from kubernetes.client.exceptions import ApiException

from shared.adapters.errors import Fault, calling
from shared.adapters.kubernetes_logs import KubernetesLogs, node_log, reports_in
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions
from shared.adapters.remembering import Memories, Memory
from shared.domain import looking, naming
from shared.domain.foreign import mapping
from shared.domain.model import Cluster, Database
from shared.domain.observing import Look, NodeState, daemonset_gone, missing_pods, read_pod, still_missing
from shared.domain.progress import NodeLog
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import ClusterLook, DatabaseLook, LookOrder
from shared.domain.sanitising import last_lines

_DAEMON_SETS = f"/apis/apps/v1/namespaces/{naming.NAMESPACE}/daemonsets"
_PODS = f"/api/v1/namespaces/{naming.NAMESPACE}/pods"
_EVENTS = f"/api/v1/namespaces/{naming.NAMESPACE}/events"
_ONE_BY_ONE = 16  # nodes asked for by name; of more, all are listed
_AS_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """All that was listed in one look."""

    order: LookOrder
    memory: Memory
    look: Look
    daemonsets: Mapping[str, Json]
    pods: Sequence[Json]
    nodes: Mapping[str, bool]
    refusals: Sequence[Json] = ()  # the controllers' FailedCreate events


class KubernetesLook:
    """Looks at clusters; what it remembers spares reading, and decides nothing."""

    def __init__(self, sessions: KubernetesSessions) -> None:
        """Keep the way to the clusters."""
        self._sessions = sessions
        self._logs = KubernetesLogs(sessions)
        self._memories = Memories()

    def look(self, order: LookOrder) -> ClusterLook:
        """List, read the logs that are worth it, and say what is known of every node."""
        with calling(f"looking at {order.cluster.name!r}", lambda fault: _may_not(order.cluster, fault)):
            scene = self._with_events(self._listed(order))
            logs = self._read_in_turn(scene)
            databases = _databases(scene)
            failing = looking.failing_with_logs(_states(scene))
            told = self._logs.of_failures(order.cluster, failing)
        # A node that tries again is busy too, but has been heard already.
        others = [state for state in _states(scene) if state not in failing]
        return ClusterLook(databases=databases, logs=(*told, *_one_busy(others, logs)))

    def _read_in_turn(self, scene: _Scene) -> dict[str, str]:
        """What some of the busy nodes say now; what they report is remembered for the looks after this."""
        chosen = looking.busy_in_turn(_states(scene), scene.memory.asked)
        logs = self._logs.last_words(scene.order.cluster, chosen)
        scene.memory.learn({state.pod_uid: scene.order.now for state in chosen}, reports_in(logs))
        return logs

    def _listed(self, order: LookOrder) -> _Scene:
        cluster, memory = order.cluster, self._memories.of(order.cluster, order.run_id)
        ours = (("labelSelector", naming.selector_of(staged.database for staged in order.databases)),)
        daemonsets = self._sessions.items(cluster, _DAEMON_SETS, ours)
        pods = self._sessions.items(cluster, _PODS, ours)
        table = self._sessions.read(cluster, Ask(path="/api/v1/nodes", headers=_AS_TABLE))
        nodes = looking.nodes_in(table)
        memory.forget_all_but(looking.uid_of(pod) for pod in pods)
        silent = looking.unready_since(self._unready(cluster, nodes, pods), order.now)
        return _Scene(
            order=order,
            memory=memory,
            look=Look(run_id=order.run_id, now=order.now, unready=silent, made=looking.made_in(table)),
            daemonsets={looking.name_of(found): found for found in daemonsets},
            pods=pods,
            nodes=nodes,
        )

    def _unready(self, cluster: Cluster, nodes: Mapping[str, bool], pods: Sequence[Json]) -> list[Json]:
        """The nodes under our pods that are not Ready: only they themselves say since when."""
        under = {str(mapping(pod, "spec").get("nodeName")) for pod in pods}
        names = sorted(name for name, ready in nodes.items() if not ready and name in under)
        if len(names) > _ONE_BY_ONE:
            return self._sessions.items(cluster, "/api/v1/nodes")
        return [node for name in names for node in self._node(cluster, name)]

    def _node(self, cluster: Cluster, name: str) -> list[Json]:
        try:
            return [self._sessions.read(cluster, Ask(path=f"/api/v1/nodes/{name}"))]
        except ApiException as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            return []  # it has left meanwhile

    def _with_events(self, scene: _Scene) -> _Scene:
        """Events tell what neither pods nor DaemonSets do; they are read only when something is amiss."""
        if not any(looking.is_puzzling(state) for state in _states(scene)):
            return scene
        faults = looking.volume_faults(self._events(scene, "FailedMount"), scene.order.applied_at)
        return replace(
            scene,
            look=replace(scene.look, volume_faults=faults),
            refusals=self._events(scene, "FailedCreate"),
        )

    def _events(self, scene: _Scene, reason: str) -> list[Json]:
        return self._sessions.items(scene.order.cluster, _EVENTS, (("fieldSelector", f"reason={reason}"),))


def _databases(scene: _Scene) -> tuple[DatabaseLook, ...]:
    return tuple(_database(scene, staged.database) for staged in scene.order.databases)


def _states(scene: _Scene) -> tuple[NodeState, ...]:
    return tuple(state for seen in _databases(scene) for state in seen.states)


def _database(scene: _Scene, database: Database) -> DatabaseLook:
    name = naming.daemonset_name(database)
    daemonset = scene.daemonsets.get(name)
    if daemonset is None:
        return DatabaseLook(database=database, settled=True, states=(daemonset_gone(),))
    pods = looking.pods_of(daemonset, scene.pods, scene.nodes)
    states = tuple(read_pod(pod, scene.look, scene.memory.reports.get(looking.uid_of(pod))) for pod in pods)
    order, short = scene.order, looking.wanted_pods(daemonset) - len(states)
    missing = still_missing(database, short, order.missing, order.now)
    since = missing.since if missing else order.now
    told = looking.failed_creation(daemonset, scene.refusals, order.applied_at)
    return DatabaseLook(
        database=database,
        settled=looking.is_settled(daemonset, order.run_id),
        states=(*states, *missing_pods(short, since, scene.look, told)),
        missing=missing,
    )


def _one_busy(states: Sequence[NodeState], logs: Mapping[str, str]) -> tuple[NodeLog, ...]:
    """The last line of one node at work, so that there is always something true to read."""
    for state in states:
        lines = last_lines(logs.get(state.pod_uid, "")) if state.running else ()
        if lines:
            return (node_log(state, lines[-1:]),)
    return ()


def _may_not(cluster: Cluster, fault: Fault) -> Refusal:
    return Refusal(
        reason=Reason.CLUSTER_FORBIDDEN,
        message=f"the API server of {cluster.name!r} no longer shows its pods ({fault})",
        remedy="bind the app's identity again, as in deploy/cluster-role.yaml",
    )
