"""The port `Clusters`, on a cluster whose init containers really run."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.client.exceptions import ApiException
from testkit.azure import KUBELET, SUBSCRIPTION, LaptopAzure
from testkit.cluster import Cluster as LaptopCluster

from shared.adapters.azure_clients import AzureClients
from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions
from shared.domain import naming
from shared.domain.causes import Kind
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.daemonset import daemon_set as manifest_of
from shared.domain.model import (
    Account,
    Cluster,
    ClusterFacts,
    Database,
    Engine,
    KubeletIdentity,
    Mode,
    NodeSelection,
    WarmupPlan,
)
from shared.domain.observing import NodeStanding, NodeState
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import ClusterLook, LookOrder, Remains
from shared.domain.selecting import NodeRules
from shared.domain.staging import Manifest
from shared.ports import PassingError

pytestmark = pytest.mark.usefixtures("laptop_cluster")

CLUSTER = Cluster(subscription_id=SUBSCRIPTION, resource_group="rg-blast", name="blast_aks-1")
RULES = NodeRules(labels=(("workload", "blast"),), tolerated_taints=("workload=blast:NoSchedule",))
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DAEMON_SETS = "/apis/apps/v1/namespaces/default/daemonsets"
PATIENCE_SECONDS = 20
# In the place of the agent: it plays what the manifest's source version says.
AGENT = """
import json, os, sys, time
manifest = json.load(open(os.environ["WARMUP_MANIFEST"]))
report = {"schema": 1, "run_id": os.environ["WARMUP_RUN_ID"], "generation": manifest["generation"]}
def say(**more):
    text = json.dumps({**report, "bytes_total": 100, **more})
    print('{"report": ' + text + "}", flush=True)
    open("/dev/termination-log", "w").write(text)
play = manifest["source_version"]
if play == "copies":
    print(chr(27) + "[32mcopying https://a/b?sig=c2VjcmV0" + chr(27) + "[0m", flush=True)
    say(phase="copying", bytes_done=40)
    time.sleep(600)
if play == "fails":
    print("writing volume 3", flush=True)
    say(phase="failed", error={"kind": "disk_full", "message": "no room for 100 bytes", "remedy": "tidy up"})
    sys.exit(3)
if play == "crashes":
    print("Segmentation fault", flush=True)
    sys.exit(139)
say(phase="ready", bytes_done=100, digest="0123456789abcdef")
"""


@pytest.fixture
def sessions(clients: AzureClients) -> KubernetesSessions:
    return KubernetesSessions(clients)


@pytest.fixture
def clusters(clients: AzureClients, sessions: KubernetesSessions) -> KubernetesClusters:
    return KubernetesClusters(clients, sessions, RULES, {"__init__.py": "", "__main__.py": AGENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One database of a test's own, and what its agent does on the nodes."""

    clusters: KubernetesClusters
    name: str

    @property
    def database(self) -> Database:
        return Database(name=self.name, folder=self.name)

    def rollout(
        self, what: str, run_id: str = "run-1", image: str = "a.azurecr.io/ncbi/elb:1.4.0"
    ) -> Rollout:
        staged = self.manifest(what).describe()
        plan = WarmupPlan(
            cluster=CLUSTER,
            account=Account(resource_id="/a", name="warmdata", blob_endpoint="https://127.0.0.1:1/warmdata/"),
            kubelet=KubeletIdentity(object_id=KUBELET["object_id"], client_id=KUBELET["client_id"]),
            registry=None,
            databases=(staged,),
            selection=NodeSelection(labels=(), excluded_pools=(), tolerated_taints=()),
            node_count=3,
            image=image,
            mode=Mode.WARM,
            max_mbps_per_node=None,
            deadline=datetime.now(UTC) + timedelta(hours=1),
        )
        rules = PodRules(
            node_directory="/workspace",
            pause_image="mcr.microsoft.com/oss/kubernetes/pause:3.9",
            engine=Engine.RANGED,
            memory_limit="1Gi",
            ca_pem=None,
        )
        return Rollout(plan=plan, staged=staged, run_id=run_id, now=datetime.now(UTC), rules=rules)

    def manifest(self, what: str) -> Manifest:
        return Manifest(
            database=self.database,
            container="blast-db",
            molecule="nucl",
            source_version=what,
            generation="a1b2c3d4",
            files=(),
        )

    def begin(self, what: str, run_id: str = "run-1") -> None:
        assert self.clusters.apply(self.rollout(what, run_id), self.manifest(what)) is None

    def look(self, run_id: str = "run-1", later: timedelta = timedelta()) -> ClusterLook:
        order = LookOrder(
            cluster=CLUSTER,
            databases=(self.manifest("any").describe(),),
            run_id=run_id,
            applied_at=datetime.now(UTC),
            now=datetime.now(UTC) + later,
        )
        return self.clusters.look(order)

    def until(self, true: Callable[[ClusterLook], bool], run_id: str = "run-1") -> ClusterLook:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            seen = self.look(run_id)
            if true(seen):
                return seen
            assert time.monotonic() < give_up, seen
            time.sleep(0.05)


@pytest.fixture
def play(clusters: KubernetesClusters, request: pytest.FixtureRequest) -> Iterator[Play]:
    play = Play(clusters=clusters, name=f"db{abs(hash(request.node.name)) % 10**8}")
    yield play
    clusters.remove(CLUSTER, play.database, None)


def states(seen: ClusterLook) -> tuple[NodeState, ...]:
    return seen.databases[0].states


def all_ready(seen: ClusterLook) -> bool:
    found = states(seen)
    return len(found) == 3 and all(state.standing is NodeStanding.READY for state in found)


def all_running(seen: ClusterLook) -> bool:
    return len(states(seen)) == 3 and all(state.running and state.report for state in states(seen))


def causes(seen: ClusterLook) -> set[Kind]:
    return {state.cause.kind for state in states(seen) if state.cause}


def listed(sessions: KubernetesSessions, play: Play) -> list[Json]:
    found = sessions.items(CLUSTER, CONFIG_MAPS)
    return [each for each in found if each["metadata"]["name"].startswith(f"warmup-{play.name}-")]


def daemon_set(sessions: KubernetesSessions, play: Play) -> Json:
    return sessions.read(CLUSTER, Ask(path=f"{DAEMON_SETS}/{naming.daemonset_name(play.database)}"))


def hold(sessions: KubernetesSessions, path: str, *finalizers: str) -> None:
    ask = Ask(
        method="PATCH",
        path=path,
        body={"metadata": {"finalizers": finalizers}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    sessions.send(CLUSTER, ask)


def test_a_running_cluster_tells_its_identity_and_its_nodes(clusters: KubernetesClusters) -> None:
    facts = clusters.facts(CLUSTER)

    assert isinstance(facts, ClusterFacts)
    assert facts.power_state == "Running"
    assert facts.kubelet == KubeletIdentity(object_id=KUBELET["object_id"], client_id=KUBELET["client_id"])
    assert [node.ready and node.schedulable for node in facts.nodes] == [True, True, True]


def test_a_stopped_cluster_is_not_asked_for_its_nodes(
    azure: LaptopAzure, clusters: KubernetesClusters
) -> None:
    azure.operate("PUT", f"/power/{CLUSTER.name}", {"state": "Stopped"})
    facts = clusters.facts(CLUSTER)
    azure.operate("PUT", f"/power/{CLUSTER.name}", {"state": "Running"})

    assert isinstance(facts, ClusterFacts)
    assert (facts.power_state, facts.nodes) == ("Stopped", ())


def test_a_cluster_that_is_not_there_is_a_refusal(clusters: KubernetesClusters) -> None:
    refusal = clusters.facts(replace(CLUSTER, name="another"))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLUSTER_NOT_FOUND


def test_an_api_server_that_does_not_answer_is_a_refusal_for_a_start(
    azure: LaptopAzure, clients: AzureClients, laptop_cluster: LaptopCluster
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_text()
    kubeconfig.write_text(there.replace(laptop_cluster.url, "https://127.0.0.1:1"))
    refusal = KubernetesClusters(clients, KubernetesSessions(clients), RULES, {}).facts(CLUSTER)
    kubeconfig.write_text(there)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLUSTER_UNREACHABLE
    assert "does not answer" in refusal.message


def test_every_node_runs_the_agent_and_reports_under_the_runs_id(play: Play) -> None:
    play.begin("succeeds")
    seen = play.until(all_ready)

    assert seen.databases[0].settled
    assert {state.report.run_id for state in states(seen) if state.report} == {"run-1"}
    assert [state.report.bytes_done for state in states(seen) if state.report] == [100, 100, 100]


def test_applying_again_changes_nothing(play: Play, sessions: KubernetesSessions) -> None:
    play.begin("succeeds")
    before = play.until(all_ready)
    rollout = replace(play.rollout("succeeds"), now=datetime.now(UTC))
    play.clusters.apply(rollout, play.manifest("succeeds"))
    play.clusters.apply(rollout, play.manifest("succeeds"))

    daemonset = sessions.read(CLUSTER, Ask(path=f"{DAEMON_SETS}/warmup-{play.name}"))
    assert len(listed(sessions, play)) == 1
    assert daemonset["metadata"]["generation"] <= 2
    assert {state.node for state in states(before)} == {state.node for state in states(play.look())}


def test_a_new_run_makes_every_node_look_again(play: Play) -> None:
    play.begin("succeeds", "run-1")
    first = {state.pod_uid for state in states(play.until(all_ready))}
    play.begin("succeeds", "run-2")
    second = {state.pod_uid for state in states(play.until(all_ready, "run-2"))}

    assert not first & second


def test_nothing_of_an_older_dashboards_script_is_left_to_the_agent(
    play: Play, sessions: KubernetesSessions
) -> None:
    older = manifest_of(play.rollout("succeeds"), "none", {})
    spec = older["spec"]["template"]["spec"]  # type: ignore[index]
    spec["initContainers"][0] |= {"command": ["bash", "-c"], "args": ["exit 1"]}
    sessions.send(CLUSTER, Ask(method="POST", path=DAEMON_SETS, body=older))
    play.begin("succeeds")

    (found,) = sessions.items(CLUSTER, DAEMON_SETS, (("fieldSelector", f"metadata.name=warmup-{play.name}"),))
    (init,) = found["spec"]["template"]["spec"]["initContainers"]
    assert (init["command"], init.get("args") or []) == (["python3", "-B", "-m", "agent"], [])


def test_the_configmap_belongs_to_the_daemonset_and_older_ones_go(
    play: Play, sessions: KubernetesSessions
) -> None:
    play.begin("succeeds", "run-1")
    (older,) = listed(sessions, play)
    play.begin("copies", "run-2")
    (newer,) = listed(sessions, play)

    assert older["metadata"]["name"] != newer["metadata"]["name"]
    assert newer["immutable"] is True
    assert [owner["name"] for owner in newer["metadata"]["ownerReferences"]] == [f"warmup-{play.name}"]


class CollectedMeanwhile(KubernetesSessions):
    """A garbage collector that takes the ConfigMap just before it gets its new owner."""

    def send(self, cluster: Cluster, ask: Ask) -> bytes:
        if ask.headers.get("Content-Type") == "application/merge-patch+json":
            super().send(cluster, Ask(method="DELETE", path=ask.path))
        return super().send(cluster, ask)


def test_a_configmap_that_goes_with_its_former_owner_is_written_again(
    play: Play, clients: AzureClients, sessions: KubernetesSessions
) -> None:
    unlucky = KubernetesClusters(clients, CollectedMeanwhile(clients), RULES, {})
    with pytest.raises(PassingError, match="was deleted meanwhile"):
        unlucky.apply(play.rollout("succeeds"), play.manifest("succeeds"))
    assert listed(sessions, play) == []

    play.begin("succeeds")
    assert len(listed(sessions, play)) == 1


def test_more_than_fits_into_a_configmap_is_a_refusal(play: Play) -> None:
    rollout = play.rollout("succeeds")
    large = replace(rollout, rules=replace(rollout.rules, ca_pem="x" * 2**20))
    refusal = play.clusters.apply(large, play.manifest("succeeds"))

    assert refusal is not None
    assert refusal.reason is Reason.DATABASE_TOO_MANY_FILES


def test_busy_nodes_show_their_figures_and_one_line(play: Play) -> None:
    play.begin("copies")
    seen = play.until(all_running)

    assert [state.report.bytes_done for state in states(seen) if state.report] == [40, 40, 40]
    assert {state.standing for state in states(seen)} == {NodeStanding.ACTIVE}
    assert [log.lines for log in seen.logs] == [("copying https://a/b?sig=***",)]


def test_a_failing_agent_is_named_with_its_log_and_its_remedy(play: Play) -> None:
    play.begin("fails")
    seen = play.until(lambda seen: causes(seen) == {Kind.DISK_FULL} and bool(seen.logs))

    cause = next(state.cause for state in states(seen) if state.cause)
    assert (cause.message, cause.remedy) == ("no room for 100 bytes", "tidy up")
    assert seen.logs[0].lines == ("writing volume 3",)
    assert seen.logs[0].state == "failed"


def test_an_agent_that_crashes_without_a_word_is_a_crash(play: Play) -> None:
    play.begin("crashes")
    seen = play.until(lambda seen: causes(seen) == {Kind.CRASHED} and bool(seen.logs))

    assert seen.logs[0].lines == ("Segmentation fault",)


def test_an_image_that_cannot_be_pulled_is_named_at_once(play: Play) -> None:
    rollout = play.rollout("succeeds", image="nobodys.azurecr.io/none:1")
    play.clusters.apply(rollout, play.manifest("succeeds"))
    seen = play.until(lambda seen: causes(seen) == {Kind.IMAGE_PULL})

    assert "nobodys.azurecr.io/none:1" in next(state.cause.message for state in states(seen) if state.cause)


def test_a_volume_that_does_not_mount_is_told_from_its_event(
    play: Play, laptop_cluster: LaptopCluster
) -> None:
    for number in range(3):
        folder = laptop_cluster.node_folder(f"node-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a-file").write_text("in the way")
    rollout = play.rollout("succeeds")
    in_the_way = replace(rollout, rules=replace(rollout.rules, node_directory="/a-file"))
    play.clusters.apply(in_the_way, play.manifest("succeeds"))
    seen = play.until(lambda seen: causes(seen) == {Kind.VOLUME})

    assert "a-file" in next(state.cause.message for state in states(seen) if state.cause)


def test_a_node_that_stops_answering_is_named_and_fails_only_in_time(
    play: Play, laptop_cluster: LaptopCluster
) -> None:
    play.begin("copies")
    node = states(play.until(all_running))[0].node
    laptop_cluster.control("PATCH", f"nodes/{node}", {"ready": False})
    try:
        silent = play.until(lambda seen: Kind.NODE_NOT_READY in causes(seen))
        later = play.look(later=timedelta(minutes=6))
    finally:
        laptop_cluster.control("PATCH", f"nodes/{node}", {"ready": True})

    of_node = {state.node: state.standing for state in states(silent)}
    assert of_node[node] is NodeStanding.ACTIVE
    assert {state.node: state.standing for state in states(later)}[node] is NodeStanding.FAILED


def test_a_daemonset_that_somebody_deleted_is_a_failure_with_a_cause(play: Play) -> None:
    seen = play.look()

    assert [state.standing for state in states(seen)] == [NodeStanding.FAILED]
    assert causes(seen) == {Kind.POD_MISSING}


def test_only_the_run_that_wrote_it_removes_a_daemonset(play: Play) -> None:
    play.begin("copies")

    assert not play.clusters.remove(CLUSTER, play.database, "run-2")
    assert play.clusters.remove(CLUSTER, play.database, "run-1")
    assert not play.clusters.remove(CLUSTER, play.database, "run-1")


def test_narrowed_to_warm_nodes_their_pods_stay_and_the_others_go(
    play: Play, sessions: KubernetesSessions
) -> None:
    play.begin("succeeds")
    seen = play.until(all_ready)
    warm, other = states(seen)[:2], states(seen)[2]
    remains = Remains(
        cluster=CLUSTER,
        database=play.database,
        run_id="run-1",
        warm_nodes=tuple(state.node for state in warm),
        left_out=1,
    )

    assert not play.clusters.narrow(replace(remains, run_id="run-2"))
    assert play.clusters.narrow(remains)
    assert play.clusters.narrow(replace(remains, left_out=0))  # again, when it sees the warm ones only
    after = play.until(lambda look: len(states(look)) == len(warm))

    assert {state.pod_uid for state in states(after)} == {state.pod_uid for state in warm}
    assert other.node not in {state.node for state in states(after)}
    found = daemon_set(sessions, play)
    assert found["metadata"]["annotations"][naming.LEFT_OUT_ANNOTATION] == "1"


def test_the_next_run_is_on_every_node_again(play: Play, sessions: KubernetesSessions) -> None:
    play.begin("succeeds")
    warm = states(play.until(all_ready))[0].node
    remains = Remains(cluster=CLUSTER, database=play.database, run_id="run-1", warm_nodes=(warm,), left_out=2)
    play.clusters.narrow(remains)

    play.begin("succeeds", "run-2")

    assert len(states(play.until(all_ready, "run-2"))) == 3
    found = daemon_set(sessions, play)
    assert found["metadata"]["annotations"][naming.LEFT_OUT_ANNOTATION] == "0"
    assert found["spec"]["updateStrategy"]["type"] == "RollingUpdate"


def test_a_daemonset_that_somebody_is_deleting_is_taken_for_removed(
    play: Play, sessions: KubernetesSessions
) -> None:
    play.begin("copies")
    (owned,) = listed(sessions, play)
    config_map = f"{CONFIG_MAPS}/{owned['metadata']['name']}"
    hold(sessions, config_map, "test.io/hold")
    daemonset = f"{DAEMON_SETS}/warmup-{play.name}"
    sessions.send(CLUSTER, Ask(method="DELETE", path=daemonset, body={"propagationPolicy": "Foreground"}))
    removed = play.clusters.remove(CLUSTER, play.database, "run-1")
    hold(sessions, config_map)

    assert removed


def test_the_configmap_goes_with_its_daemonset(play: Play, sessions: KubernetesSessions) -> None:
    play.begin("succeeds")
    play.clusters.remove(CLUSTER, play.database, None)
    give_up = time.monotonic() + PATIENCE_SECONDS
    while listed(sessions, play):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_an_app_that_may_only_look_is_told_what_to_bind(
    azure: LaptopAzure, clients: AzureClients, laptop_cluster: LaptopCluster, play: Play
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_bytes()
    kubeconfig.write_bytes(laptop_cluster.reader_kubeconfig.read_bytes())
    reader = KubernetesClusters(clients, KubernetesSessions(clients), RULES, {})
    refusal = reader.apply(play.rollout("succeeds"), play.manifest("succeeds"))
    kubeconfig.write_bytes(there)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLUSTER_FORBIDDEN
    assert "deploy/cluster-role.yaml | kubectl apply -f -" in refusal.remedy


def test_a_session_whose_token_is_no_longer_accepted_is_made_anew(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_text()
    kubeconfig.write_text(there.replace("token: ", "token: stale"))
    sessions = KubernetesSessions(clients)
    with pytest.raises(ApiException, match="Unauthorized"):
        sessions.items(CLUSTER, "/api/v1/nodes")
    kubeconfig.write_text(there)

    assert len(sessions.items(CLUSTER, "/api/v1/nodes")) == 3


def test_a_list_of_many_pages_is_whole(clients: AzureClients) -> None:
    nodes = KubernetesSessions(clients, page=2).items(CLUSTER, "/api/v1/nodes")

    assert len({node["metadata"]["name"] for node in nodes}) == 3
