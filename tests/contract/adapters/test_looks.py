"""The port `Clusters` looking at nodes whose init containers really run."""

from dataclasses import replace
from datetime import timedelta

import pytest
from testkit.cluster import Cluster as LaptopCluster
from testkit.plays import CLUSTER, Play, all_ready, all_running, causes, states

from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import KubernetesSessions
from shared.domain import naming
from shared.domain.causes import Kind
from shared.domain.observing import NodeStanding

PODS = "/api/v1/namespaces/default/pods"

pytestmark = pytest.mark.usefixtures("laptop_cluster")


def test_busy_nodes_show_their_figures_and_one_line(play: Play) -> None:
    play.begin("copies")
    seen = play.until(all_running)

    assert [state.report.bytes_done for state in states(seen) if state.report] == [40, 40, 40]
    assert {state.standing for state in states(seen)} == {NodeStanding.ACTIVE}
    assert [log.lines for log in seen.logs] == [("copying https://a/b?sig=***",)]


def test_what_is_listed_for_a_run_is_its_own_databases_alone(
    play: Play, clusters: KubernetesClusters, sessions: KubernetesSessions
) -> None:
    other = Play(clusters=clusters, name="Other.DB")
    for each in (play, other):
        each.begin("succeeds")
        each.until(all_ready)

    for asked in ((play,), (other,), (play, other)):
        selector = naming.selector_of(each.database for each in asked)
        found = sessions.items(CLUSTER, PODS, (("labelSelector", selector),))
        assert {pod["metadata"]["labels"]["db"] for pod in found} == {each.name for each in asked}
    clusters.remove(CLUSTER, other.database, None)


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


def test_a_new_attempt_says_something_and_hides_nothing_of_how_the_last_one_failed(play: Play) -> None:
    play.begin("crashes once")
    seen = play.until(lambda seen: any("checking volume 29" in log.retrying for log in seen.logs))

    log = seen.logs[0]
    assert log.lines == ("Segmentation fault",)
    assert log.retrying == ("checking volume 27", "checking volume 28", "checking volume 29")


def test_an_image_that_cannot_be_pulled_is_named_at_once(play: Play) -> None:
    rollout = play.rollout("succeeds", image="nobodys.azurecr.io/none:1")
    play.clusters.apply(rollout, play.manifest("succeeds"))
    seen = play.until(lambda seen: causes(seen) == {Kind.IMAGE_PULL})

    assert "nobodys.azurecr.io/none:1" in next(state.cause.message for state in states(seen) if state.cause)


def test_a_download_whose_child_was_killed_for_want_of_memory_is_named_though_it_ended_with_0(
    play: Play, laptop_cluster: LaptopCluster
) -> None:
    rollout = play.rollout("starves")
    little = replace(rollout, rules=replace(rollout.rules, memory_limit="64Mi"))
    play.clusters.apply(little, play.manifest("starves"))

    play.until(lambda seen: causes(seen) == {Kind.OUT_OF_MEMORY})

    pods = laptop_cluster.ask("GET", "/api/v1/namespaces/default/pods").body["items"]
    ours = [pod for pod in pods if pod["metadata"]["name"].startswith(f"warmup-{play.name}")]
    ended = [
        each["lastState"] or each["state"] for pod in ours for each in pod["status"]["initContainerStatuses"]
    ]
    assert {each["terminated"]["exitCode"] for each in ended if "terminated" in each} == {0}


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
