"""The port `Clusters`: what it says of a cluster, and what it writes there and takes away."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from kubernetes.client.exceptions import ApiException
from testkit.azure import KUBELET, LaptopAzure
from testkit.builders import DATABASE
from testkit.cluster import Cluster as LaptopCluster
from testkit.plays import (
    CLUSTER,
    CONFIG_MAPS,
    DAEMON_SETS,
    PATIENCE_SECONDS,
    RULES,
    Play,
    all_ready,
    listed,
    states,
)

from shared.adapters.azure_clients import AzureClients
from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import Ask, Json, KubernetesSessions
from shared.domain import naming
from shared.domain.daemonset import daemon_set as manifest_of
from shared.domain.model import (
    Cluster,
    ClusterFacts,
    KubeletIdentity,
    Mode,
)
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Remains
from shared.ports import PassingError

pytestmark = pytest.mark.usefixtures("laptop_cluster")


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


def test_on_a_cluster_that_is_no_more_nothing_is_left_to_remove(clusters: KubernetesClusters) -> None:
    assert clusters.remove(replace(CLUSTER, name="another"), DATABASE, "run-1") is False


def test_an_api_server_that_does_not_answer_may_yet_and_is_told_with_its_cure(
    azure: LaptopAzure, clients: AzureClients, laptop_cluster: LaptopCluster
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_text()
    kubeconfig.write_text(there.replace(laptop_cluster.url, "https://127.0.0.1:1"))
    try:
        with pytest.raises(PassingError, match="cannot be reached: its API server does not answer; check"):
            KubernetesClusters(clients, KubernetesSessions(clients), RULES, {}).facts(CLUSTER)
    finally:
        kubeconfig.write_text(there)


def test_a_sign_in_that_fails_is_not_laid_to_the_api_server(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    azure.fault(area="arm", kind="reset", path="listClusterUserCredential")
    clusters = KubernetesClusters(clients, KubernetesSessions(clients), RULES, {})

    for _ in ("the failure itself", "the same, remembered"):
        with pytest.raises(PassingError, match="signing in to cluster"):
            clusters.facts(CLUSTER)


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


@pytest.fixture(params=["gatekeeper", "validating-policy"])
def policy(laptop_cluster: LaptopCluster, request: pytest.FixtureRequest) -> Iterator[None]:
    laptop_cluster.control("PUT", "safeguards", {"policy": request.param})
    yield
    laptop_cluster.control("PUT", "safeguards", {"policy": None})


@pytest.mark.usefixtures("policy")
def test_pods_that_a_policy_forbids_are_a_refusal_with_its_remedy_and_nothing_stays(
    play: Play, sessions: KubernetesSessions
) -> None:
    refusal = play.clusters.apply(play.rollout("succeeds"), play.manifest("succeeds"))

    assert refusal is not None
    assert refusal.reason is Reason.POLICY_FORBIDS
    assert "policy on hostPath" in refusal.remedy
    assert listed(sessions, play) == []


class NothingDeleted(KubernetesSessions):
    """Credentials that may not delete."""

    def send(self, cluster: Cluster, ask: Ask) -> bytes:
        if ask.method == "DELETE":
            raise ApiException(status=403, reason="Forbidden")
        return super().send(cluster, ask)


@pytest.mark.usefixtures("policy")
def test_what_a_refused_rollout_could_not_delete_is_removed_with_its_database(
    play: Play, clients: AzureClients, sessions: KubernetesSessions
) -> None:
    powerless = KubernetesClusters(clients, NothingDeleted(clients), RULES, {})
    refusal = powerless.apply(play.rollout("succeeds"), play.manifest("succeeds"))

    assert refusal is not None
    assert refusal.reason is Reason.POLICY_FORBIDS
    assert len(listed(sessions, play)) == 1
    assert not play.clusters.remove(CLUSTER, play.database, "run-1")
    assert listed(sessions, play) == []


@pytest.mark.usefixtures("policy")
def test_a_refused_rollout_leaves_what_an_earlier_one_still_mounts(
    laptop_cluster: LaptopCluster, play: Play, sessions: KubernetesSessions
) -> None:
    laptop_cluster.control("PUT", "safeguards", {"policy": None})
    play.begin("copies")
    laptop_cluster.control("PUT", "safeguards", {"policy": "gatekeeper"})
    (mounted,) = listed(sessions, play)

    for what in ("copies", "succeeds"):
        assert play.clusters.apply(play.rollout(what, "run-2"), play.manifest(what)) is not None

    assert [each["metadata"]["name"] for each in listed(sessions, play)] == [mounted["metadata"]["name"]]


def test_only_the_run_that_wrote_it_removes_a_daemonset(play: Play) -> None:
    play.begin("copies")

    assert not play.clusters.remove(CLUSTER, play.database, "run-2")
    assert play.clusters.remove(CLUSTER, play.database, "run-1")
    assert not play.clusters.remove(CLUSTER, play.database, "run-1")


def mode_of(sessions: KubernetesSessions, play: Play) -> str:
    (agent,) = daemon_set(sessions, play)["spec"]["template"]["spec"]["initContainers"]
    return next(str(each["value"]) for each in agent["env"] if each["name"] == "WARMUP_MODE")


def test_pods_that_verified_are_made_anew_to_warm(play: Play, sessions: KubernetesSessions) -> None:
    asked = play.rollout("succeeds")
    verifying = replace(asked, plan=replace(asked.plan, mode=Mode.VERIFY))
    assert play.clusters.apply(verifying, play.manifest("succeeds")) is None
    verified = {state.pod_uid for state in states(play.until(all_ready))}

    assert not play.clusters.stop_verifying(CLUSTER, play.database, "run-2")
    assert mode_of(sessions, play) == "verify"
    assert play.clusters.stop_verifying(CLUSTER, play.database, "run-1")
    play.until(lambda look: all_ready(look) and not verified & {state.pod_uid for state in states(look)})

    assert mode_of(sessions, play) == "warm"
    generation = daemon_set(sessions, play)["metadata"]["generation"]
    assert play.clusters.stop_verifying(CLUSTER, play.database, "run-1")  # again, and nothing changes
    assert daemon_set(sessions, play)["metadata"]["generation"] == generation


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
