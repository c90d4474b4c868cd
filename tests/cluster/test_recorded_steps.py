"""Steps recorded from Kubernetes 1.34 and 1.20, played again: codes, key paths, messages and values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import watch
from testkit.cluster import Asked, Cluster, running_cluster
from testkit.workloads import Clients, clients, daemon_set, pod, pod_spec, raw, shell, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json = dict[str, Any]

GOLDEN = Path(__file__).parents[1] / "golden/kubernetes"

TOLERATED = {
    r"(\.volumes|volumeMounts)\[\]": "no service account token is mounted: pods here may not ask the API",
    r"metadata\.annotations\.(node\.alpha|volumes\.kubernetes)": "of controllers that are not here",
    r"hugepages|daemonEndpoints|status\.images": "what a kubelet knows of its machine",
    r"labels\.kubernetes\.azure\.com|providerID": "nodes here look like those of an AKS user pool",
    r"observedGeneration": "stripped from the recording",
}
"""Key paths that may differ, and why."""

CAUGHT_MOVING = {
    "pod-list-after-del": r"conditions\[\]\.(reason|message)$|\.state\.",
    "ds-delete-fg": r"numberUnavailable|numberAvailable",
}
"""Steps that look at pods on their way, and the key paths that depend on how far they had come."""

VARIES = {
    r"uid$|resourceVersion$|metadata\.continue$": "drawn by each server",
    r"revision-hash$|^items\[\]\.metadata\.name$": "the same, behind a name",
    r"containerID$|imageID$|image$": "the recording ran another image",
    r"command\[\]$": "and slept in other words",
    r"[iI]Ps?(\[\]\.ip)?$|addresses\[\]\.address$": "addresses",
    r"nodeInfo|(allocatable|capacity)\.(cpu|memory)$": "another machine",
    r"(volumeMounts|\.volumes)\[\]": "no service account token is mounted: pods here may not ask the API",
}
"""Key paths whose values are never the same twice, or of other machines, and why."""

TOLERATED_OF_1_20 = {
    r"labels\.kubernetes\.io/metadata\.name": "namespaces got this label in 1.21",
    r"spec\.template\.metadata\.creationTimestamp": "a null that 1.20 wrote out",
    r"rollingUpdate\.maxSurge": "came with 1.21",
    r"items\[\]\.metadata\.generation|^metadata\.generation": "pods count generations since 1.33",
    r"status\.hostIPs": "came with 1.28",
    r"initContainerStatuses\[\]\.started": "said of init containers since 1.28",
    r"metadata\.deletion": "how far a deletion had come when it was looked at",
}
"""Key paths that were added or dropped between the two, and when: the cluster follows 1.34."""

NOT_WORDED_AS_1_20 = {"ds-bad-selector": "1.20 printed labels as Go does: map[string]string{…}"}
"""Steps whose message was changed in between, and how."""

NAMESPACE = "conf"
NODE = "node-0"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, as when it was recorded."""
    with running_cluster(tmp_path_factory.mktemp("recorded"), Asked(nodes=2)) as found:
        yield found


@pytest.fixture(scope="module")
def played(fresh: Cluster) -> dict[str, Json]:
    """What each step answered here."""
    with clients(fresh.kubeconfig) as k8s:
        return Play(k8s, fresh).all()


def golden(name: str) -> Json:
    found: Json = json.loads((GOLDEN / name).read_text())
    return found


STEPS: dict[str, Json] = golden("steps-1.34.json")["steps"]
VALUES: dict[str, Json] = golden("values-1.34.json")["steps"]
STEPS_OF_1_20: dict[str, Json] = golden("steps-1.20.json")["steps"]


@pytest.mark.parametrize("step", STEPS)
def test_a_recorded_step_answers_alike(played: dict[str, Json], step: str) -> None:
    expected, found = STEPS[step], played[step]
    check_answer(expected, found)
    assert differing(expected, found, tolerated_at(step)) == set()


@pytest.mark.parametrize("step", VALUES)
def test_a_recorded_step_has_the_recorded_values(played: dict[str, Json], step: str) -> None:
    found = values(played[step]["body"])
    both = {path: told for path, told in VALUES[step].items() if path in found}
    assert len(both) > len(VALUES[step]) / 2
    assert {path: found[path] for path in both} == both


@pytest.mark.parametrize("step", STEPS_OF_1_20)
def test_a_step_recorded_from_an_old_server_differs_in_what_was_changed_since(
    played: dict[str, Json], step: str
) -> None:
    expected, found = STEPS_OF_1_20[step], played[step]
    check_answer({**expected, "message": None} if step in NOT_WORDED_AS_1_20 else expected, found)
    assert differing(expected, found, [*tolerated_at(step), *TOLERATED_OF_1_20]) == set()


def test_every_step_was_recorded_from_both_servers() -> None:
    assert list(STEPS_OF_1_20) == list(STEPS)


def test_no_tolerance_is_idle(played: dict[str, Json]) -> None:
    seen = set().union(*(differing(STEPS[step], played[step], ()) for step in STEPS))
    bodies = [answer["body"] for answer in played.values() if "body" in answer]
    there = {path for body in bodies for path in paths(body)}

    assert {known for known in TOLERATED if not any(re.search(known, path) for path in seen)} == set()
    assert {known for known in VARIES if not any(re.search(known, path) for path in there)} == set()


def test_no_tolerance_of_the_old_server_is_idle(played: dict[str, Json]) -> None:
    seen = set().union(*(differing(STEPS_OF_1_20[step], played[step], TOLERATED) for step in STEPS_OF_1_20))

    assert {known for known in TOLERATED_OF_1_20 if not any(re.search(known, path) for path in seen)} == set()


def check_answer(expected: Json, found: Json) -> None:
    """Compare code, reason and words; a message of None is any."""
    if "text" in expected:
        assert neutral(found["text"]) == neutral(expected["text"])
        return
    assert (found["code"], found["body"].get("reason")) == (expected["code"], expected.get("reason"))
    message = expected.get("message", "")
    assert message is None or neutral(found["body"].get("message", "")) == neutral(message)


def tolerated_at(step: str) -> list[str]:
    """The key paths that may differ in this step."""
    return [*TOLERATED, *([CAUGHT_MOVING[step]] if step in CAUGHT_MOVING else [])]


def values(body: Json) -> dict[str, list[Any]]:
    """What stands at each path that does not vary, in the order of its words; `VALUES` was made by this."""
    found: dict[str, list[Any]] = {}
    for path, value in leaves(body):
        if not any(re.search(known, path) for known in VARIES):
            found.setdefault(path, []).append(neutral(value) if isinstance(value, str) else value)
    return {path: sorted(told, key=str) for path, told in found.items()}


def differing(expected: Json, found: Json, tolerated: Iterable[str]) -> set[str]:
    """The key paths that only one of them has, but for those that are tolerated."""
    either = set(paths(found.get("body"))) ^ set(expected.get("paths", ()))
    return {path for path in either if path and not any(re.search(known, path) for known in tolerated)}


def test_a_failing_init_container_goes_through_the_recorded_states(fresh: Cluster) -> None:
    script = (
        "n=$(cat /workspace/n 2>/dev/null || echo 0); echo $((n + 1)) > /workspace/n; [ $n = 3 ] && exit 0; "
    )
    script += "echo disk full attempt $n > /dev/termination-log; exit 7"
    mounts = [{"name": "workspace", "mountPath": "/workspace"}]
    with clients(fresh.kubeconfig) as k8s:
        stage = {**shell(script, volumeMounts=mounts), "name": "stage"}
        since = raw(k8s.core.list_namespaced_pod, "default")["metadata"]["resourceVersion"]
        k8s.core.create_namespaced_pod("default", pod("restarts", pod_spec([stage])))
        seen = [*states(k8s, "restarts", since)]
    recorded = [comparable(state) for state in golden("restarts-1.34.json")["states"]]
    expected = [state for state in recorded if is_lasting(state)]
    assert without_repeats(filter(is_lasting, seen)) == without_repeats(expected)


class Play:
    """The steps in their order; each keeps its answer."""

    def __init__(self, k8s: Clients, cluster: Cluster) -> None:
        self.k8s, self.cluster = k8s, cluster
        self.answers: dict[str, Json] = {}

    def all(self) -> dict[str, Json]:
        self.refusals()
        self.daemon_set_is_made()
        self.pods_are_listed()
        self.logs_are_read()
        self.objects_are_patched()
        self.everything_goes()
        return self.answers

    def ask(self, step: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        answer = self.cluster.ask(method, path, body, **headers)
        self.answers[step] = {"code": answer.code, "body": answer.body}
        return answer.body

    def refusals(self) -> None:
        self.ask("ns-create", "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.ask("ds-get-404", "GET", f"{SETS}/nope")
        self.ask("pod-get-404", "GET", f"{PODS}/nope")
        self.ask("log-404", "GET", f"{PODS}/nope/log")
        other = recorded_set()
        other["spec"]["selector"]["matchLabels"] = {"app": "other"}
        self.ask("ds-bad-selector", "POST", SETS, other)
        self.ask("ds-bad-name", "POST", SETS, recorded_set("Bad_Name"))

    def daemon_set_is_made(self) -> None:
        self.ask("ds-dryrun", "POST", f"{SETS}?dryRun=All", recorded_set())
        self.ask("ds-create", "POST", SETS, recorded_set())
        self.ask("ds-dup", "POST", SETS, recorded_set())
        apps = self.k8s.apps
        wait_for(
            lambda: apps.read_namespaced_daemon_set("cf", NAMESPACE).status.number_ready == 2, "readiness"
        )
        self.ask("ds-read", "GET", f"{SETS}/cf")
        self.ask("ds-status-sub", "GET", f"{SETS}/cf/status")

    def pods_are_listed(self) -> None:
        self.ask("pod-list", "GET", f"{PODS}?labelSelector=app%3Dcf")
        self.ask("pod-list-set-selector", "GET", f"{PODS}?labelSelector=app%20in%20(zzz)")
        self.ask("pod-list-bad-selector", "GET", f"{PODS}?labelSelector=app%3D(")
        field = f"spec.nodeName%3D{NODE}%2Cstatus.phase%3DRunning"
        self.ask("pod-list-field", "GET", f"{PODS}?fieldSelector={field}")
        self.ask("pod-list-limit1", "GET", f"{PODS}?limit=1")

    def logs_are_read(self) -> None:
        core = self.k8s.core
        queries: dict[str, Json] = {
            "log-nocontainer": {},
            "log-stage": {"container": "stage"},
            "log-stage-tail": {"container": "stage", "tail_lines": 1},
            "log-ts": {"container": "stage", "timestamps": True},
            "log-limit": {"container": "stage", "limit_bytes": 3},
        }
        for step, query in queries.items():
            answer = core.read_namespaced_pod_log(self.pod(), NAMESPACE, **query, _preload_content=False)
            self.answers[step] = {"text": answer.data.decode()}
        log = f"{PODS}/{self.pod()}/log"
        self.ask("log-prev", "GET", f"{log}?container=stage&previous=True")
        self.ask("log-badc", "GET", f"{log}?container=zzz")

    def objects_are_patched(self) -> None:
        merge, operations = "application/merge-patch+json", "application/json-patch+json"
        annotated = {"metadata": {"annotations": {"x/y": "1"}}}
        self.ask("patch-merge", "PATCH", f"{SETS}/cf", annotated, Content_Type=merge)
        label = [{"op": "add", "path": "/metadata/labels/z", "value": "q"}]
        self.ask("patch-json", "PATCH", f"{SETS}/cf", label, Content_Type=operations)
        stale = raw(self.k8s.apps.read_namespaced_daemon_set, "cf", NAMESPACE)
        stale["metadata"]["resourceVersion"] = "1"
        self.ask("replace-conflict", "PUT", f"{SETS}/cf", stale)
        self.ask("nodes", "GET", "/api/v1/nodes")
        labelled = {"metadata": {"labels": {"workload": "blast"}}}
        self.ask("patch-node-label", "PATCH", f"/api/v1/nodes/{NODE}", labelled, Content_Type=merge)
        field = "involvedObject.kind%3DPod%2Creason%3DStarted"
        self.ask("events", "GET", f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector={field}")

    def everything_goes(self) -> None:
        gone = self.pod()
        self.ask("pod-delete", "DELETE", f"{PODS}/{gone}")
        wait_for(lambda: len(self.live()) == 2 and gone not in self.live(), "a new pod")
        self.ask("pod-list-after-del", "GET", f"{PODS}?labelSelector=app%3Dcf")
        self.ask("ds-delete-fg", "DELETE", f"{SETS}/cf", {"propagationPolicy": "Foreground"})
        wait_for(lambda: not self.k8s.apps.list_namespaced_daemon_set(NAMESPACE).items, "the end")
        self.ask("ds-gone", "GET", f"{SETS}/cf")
        self.ask("ns-delete", "DELETE", f"/api/v1/namespaces/{NAMESPACE}")

    def pod(self) -> str:
        return self.live(f"spec.nodeName={NODE}")[0]

    def live(self, field_selector: str = "") -> list[str]:
        found = raw(self.k8s.core.list_namespaced_pod, NAMESPACE, field_selector=field_selector)
        return [item["metadata"]["name"] for item in found["items"]]


SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def recorded_set(name: str = "cf") -> Json:
    """The DaemonSet that was recorded."""
    env = [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    mounts = [{"name": "ws", "mountPath": "/workspace"}]
    stage = shell("echo hello $NODE_NAME; echo x > /workspace/f", env=env, volumeMounts=mounts)
    spec = {
        "terminationGracePeriodSeconds": 1,
        "hostNetwork": True,
        "volumes": [{"name": "ws", "hostPath": {"path": "/workspace", "type": "DirectoryOrCreate"}}],
        "initContainers": [{**stage, "name": "stage"}],
        "containers": [{**shell("exec sleep infinity"), "name": "hold"}],
    }
    return daemon_set(name, spec)


def paths(value: Any) -> Iterator[str]:
    """Every leaf's path, list positions left out."""
    return (path for path, _ in leaves(value))


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path; an empty list is a leaf, an empty object nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner, f"{prefix}[]")
    else:
        yield prefix, value


def neutral(message: str) -> str:
    """A text without what differs from run to run."""
    message = re.sub(r"\bcf-[a-z0-9]{5}\b", "cf-POD", message)
    message = re.sub(r"\bnode-?\d\b", "NODE", message)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", message)


def states(k8s: Clients, name: str, since: str) -> Iterator[Json]:
    """What the pod's init container went through, until the pod runs."""
    watcher = watch.Watch()
    options = {"field_selector": f"metadata.name={name}", "timeout_seconds": 30, "resource_version": since}
    for event in watcher.stream(k8s.core.list_namespaced_pod, "default", **options):
        status = event["raw_object"]["status"]
        for container in status.get("initContainerStatuses", []):
            kind, state = next(iter(container["state"].items()))
            yield comparable(
                {
                    "phase": status["phase"],
                    "state": kind,
                    "reason": state.get("reason"),
                    "exit_code": state.get("exitCode"),
                    "message": (state.get("message") or "").split(" restarting")[0] or None,
                    "last_exit_code": container["lastState"].get("terminated", {}).get("exitCode"),
                    "restarts": container["restartCount"],
                }
            )
        if status["phase"] == "Running":
            watcher.stop()


def comparable(state: Json) -> Json:
    """Without key paths, and without how long the back-off was: it is shortened here."""
    kept = {key: value for key, value in state.items() if key != "paths"}
    return {**kept, "message": re.sub(r"back-off \S+", "back-off", state["message"] or "") or None}


def is_lasting(state: Json) -> bool:
    """Whether a look every 250 ms sees it."""
    # Attempts are over at once; so is the moment after success when the failure before is still told.
    over_but_remembered = state["exit_code"] == 0 and state["last_exit_code"] is not None
    return state["state"] != "running" and not over_but_remembered


def without_repeats(found: Any) -> list[Json]:
    kept: list[Json] = []
    for state in found:
        if not kept or kept[-1] != state:
            kept.append(state)
    return kept
