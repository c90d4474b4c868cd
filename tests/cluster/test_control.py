from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from kubernetes.client import ApiException
from testkit.cluster import Asked, Cluster, running_cluster
from testkit.workloads import Clients, clients, daemon_set, pod_spec, raw, shell, state_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes that the test may break."""
    with running_cluster(tmp_path_factory.mktemp("own"), Asked(nodes=2, control=True)) as found:
        yield found


@pytest.fixture
def k8s(own: Cluster) -> Iterator[Clients]:
    with clients(own.kubeconfig) as found:
        yield found


def start(k8s: Clients, script: str = "true", **spec: Any) -> None:
    k8s.apps.create_namespaced_daemon_set("default", daemon_set("d", pod_spec([shell(script)], **spec)))
    wait_ready(k8s, 2)


def wait_ready(k8s: Clients, count: int) -> None:
    def look() -> bool:
        status = raw(k8s.apps.read_namespaced_daemon_set, "d", "default")["status"]
        return (status["numberReady"], status["desiredNumberScheduled"]) == (count, count)

    wait_for(look, f"{count} of {count} ready pods")


def pods(k8s: Clients) -> dict[str, Json]:
    items: list[Json] = raw(k8s.core.list_namespaced_pod, "default")["items"]
    return {item["spec"].get("nodeName", ""): item for item in items}


def is_running(found: Json) -> bool:
    return "running" in state_of(found).get("state", {})


def test_a_node_that_joins_gets_its_pod_and_one_that_leaves_takes_it_along(
    own: Cluster, k8s: Clients
) -> None:
    start(k8s)
    assert own.control("POST", "nodes", {"name": "late"}).code == 200
    wait_ready(k8s, 3)
    assert own.node_folder("late").is_dir()
    assert own.control("DELETE", "nodes/late").code == 200
    wait_ready(k8s, 2)
    assert not own.node_folder("late").exists()
    assert set(pods(k8s)) == {"node-0", "node-1"}


def test_a_node_that_falls_silent_is_not_ready_and_its_pod_neither(own: Cluster, k8s: Clients) -> None:
    start(k8s)
    own.control("PATCH", "nodes/node-1", {"ready": False})

    def unready() -> bool:
        status = raw(k8s.apps.read_namespaced_daemon_set, "d", "default")["status"]
        return bool(status["numberReady"] == 1)

    wait_for(unready, "one ready pod")
    node = raw(k8s.core.read_node, "node-1")
    effects = [(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]]
    assert effects == [
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    ]
    assert set(pods(k8s)) == {"node-0", "node-1"}
    own.control("PATCH", "nodes/node-1", {"ready": True})
    wait_ready(k8s, 2)


def test_a_cordoned_node_keeps_its_pod_and_a_taint_drives_it_away(own: Cluster, k8s: Clients) -> None:
    start(k8s)
    own.control("PATCH", "nodes/node-1", {"unschedulable": True})
    wait_for(lambda: raw(k8s.core.read_node, "node-1")["spec"].get("taints"), "the taint")
    wait_ready(k8s, 2)
    own.control("PATCH", "nodes/node-1", {"taints": [{"key": "spot", "effect": "NoExecute"}]})
    wait_for(lambda: set(pods(k8s)) == {"node-0"}, "the pod's end")


def test_killed_processes_are_started_again(own: Cluster, k8s: Clients) -> None:
    k8s.apps.create_namespaced_daemon_set("default", daemon_set("d", pod_spec([shell("exec sleep 600")])))
    wait_for(lambda: len(pods(k8s)) == 2 and is_running(pods(k8s)["node-0"]), "a running init container")
    assert own.control("POST", "nodes/node-0/kill").body == {"pods": 1}
    wait_for(lambda: state_of(pods(k8s)["node-0"])["restartCount"] == 1, "a restart")
    last = state_of(pods(k8s)["node-0"])["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "Error")


def pod_on_node_0(k8s: Clients) -> str:
    return str(pods(k8s).get("node-0", {}).get("metadata", {}).get("uid", ""))


def evict_the_next(own: Cluster, k8s: Clients, last: str) -> str:
    wait_for(lambda: pod_on_node_0(k8s) not in {"", last}, "another")
    evicted = pod_on_node_0(k8s)
    assert own.control("POST", "nodes/node-0/evict").body == {"pods": 1}
    return evicted


def test_a_pod_that_is_evicted_again_and_again_is_replaced_more_and_more_seldom(
    own: Cluster, k8s: Clients
) -> None:
    start(k8s)
    evicted = ""
    for _ in range(3):
        evicted = evict_the_next(own, k8s, evicted)

    time.sleep(1)  # two seconds are due by now
    assert pod_on_node_0(k8s) == evicted
    assert pods(k8s)["node-0"]["status"]["reason"] == "Evicted"
    wait_ready(k8s, 2)


def test_an_evicted_pod_fails_and_is_replaced(own: Cluster, k8s: Clients) -> None:
    start(k8s)
    evicted = pods(k8s)["node-0"]["metadata"]["uid"]
    assert own.control("POST", "nodes/node-0/evict").body == {"pods": 1}
    wait_for(
        lambda: pods(k8s).get("node-0", {}).get("metadata", {}).get("uid", evicted) != evicted, "another"
    )
    found = raw(k8s.core.list_namespaced_event, "default", field_selector="reason=FailedDaemonPod")["items"]
    assert found[0]["involvedObject"]["kind"] == "DaemonSet"
    wait_ready(k8s, 2)


def test_a_node_without_room_takes_no_pod(own: Cluster, k8s: Clients) -> None:
    own.control("PATCH", "nodes/node-1", {"allocatable": {"memory": "1Mi"}})
    spec = pod_spec([shell("true", resources={"requests": {"memory": "64Mi"}})])
    k8s.apps.create_namespaced_daemon_set("default", daemon_set("d", spec))
    wait_for(lambda: "" in pods(k8s) and pods(k8s)[""]["status"].get("conditions"), "an unbound pod")
    assert pods(k8s)[""]["status"]["conditions"][0]["reason"] == "Unschedulable"


def test_a_seeded_share_of_requests_fails_the_same_way_twice(own: Cluster, k8s: Clients) -> None:
    fault = {"effect": "error", "verb": "list", "resource": "pods", "share": 0.5, "code": 503}

    def outcomes() -> list[int]:
        own.control("PUT", "faults", {"seed": 7, "faults": [fault]})
        return [own.ask("GET", "/api/v1/namespaces/default/pods").code for _ in range(20)]

    first = outcomes()
    assert first == outcomes()
    assert set(first) == {200, 503}
    assert k8s.core.list_node().items
    own.control("PUT", "faults", {"faults": []})
    assert own.ask("GET", "/api/v1/namespaces/default/pods").code == 200


def test_a_throttled_client_is_told_when_to_come_back(own: Cluster, k8s: Clients) -> None:
    own.control("PUT", "faults", {"faults": [{"effect": "error", "code": 429}]})
    with pytest.raises(ApiException) as caught:
        k8s.core.list_node(_request_timeout=1)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")


def test_a_reply_can_be_lost_although_the_work_was_done(own: Cluster, k8s: Clients) -> None:
    own.control("PUT", "faults", {"faults": [{"effect": "lost_reply", "verb": "create"}]})
    with pytest.raises(urllib3.exceptions.HTTPError):
        k8s.core.create_namespaced_config_map("default", {"metadata": {"name": "made"}})
    assert k8s.core.read_namespaced_config_map("made", "default").metadata.name == "made"


def test_a_hanging_request_leaves_others_alone(own: Cluster, k8s: Clients) -> None:
    own.control("PUT", "faults", {"faults": [{"effect": "hang", "verb": "get", "resource": "nodes"}]})
    with pytest.raises(urllib3.exceptions.HTTPError):
        k8s.core.read_node("node-0", _request_timeout=0.3)
    assert len(k8s.core.list_node().items) == 2


def test_the_control_wants_its_own_token(own: Cluster) -> None:
    assert own.ask("GET", "/control/state").code == 401
    state = own.control("GET", "state").body
    assert [node["name"] for node in state["nodes"]] == ["node-0", "node-1"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "nodes", {}, 400),
        ("POST", "nodes", {"name": "node-0"}, 409),
        ("DELETE", "nodes/none", None, 404),
        ("PATCH", "nodes/node-0", {"speed": 9}, 400),
        ("POST", "nodes/none/kill", None, 404),
        ("PUT", "faults", {"faults": [{"effect": "earthquake"}]}, 400),
        ("PUT", "faults", {"faults": [{"effect": "error", "code": 999}]}, 400),
        ("PUT", "faults", ["no", "object"], 400),
    ],
)
def test_the_control_refuses_what_it_does_not_know(
    steady: Cluster, method: str, path: str, body: object, code: int
) -> None:
    assert steady.control(method, path, body).code == code


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that no test breaks."""
    with running_cluster(tmp_path_factory.mktemp("steady"), Asked(nodes=1, control=True)) as found:
        yield found
