from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testkit.workloads import Clients, daemon_set, ended, pod_spec, raw, shell, wait_for

if TYPE_CHECKING:
    from testkit.cluster import Cluster

Json = dict[str, Any]

STAMP = "echo $RUN > /workspace/$NAME"


def stamping(run: str, name: str = "stamp") -> Json:
    """A pod spec whose init container writes the run into a file on its node."""
    env = [{"name": "RUN", "value": run}, {"name": "NAME", "value": name}]
    mounts = [{"name": "workspace", "mountPath": "/workspace"}]
    return pod_spec([shell(STAMP, env=env, volumeMounts=mounts)])


def read(k8s: Clients, namespace: str, name: str = "d") -> Json:
    return raw(k8s.apps.read_namespaced_daemon_set, name, namespace)


def ready(k8s: Clients, namespace: str, count: int = 3) -> Json:
    """The DaemonSet once its controller has seen its last change and that many pods of it are ready."""

    def look() -> Json | None:
        found = read(k8s, namespace)
        status = found["status"]
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        counts = (status["numberReady"], status.get("updatedNumberScheduled"))
        return found if seen and counts == (count, count) else None

    found: Json = wait_for(look, f"{count} ready pods")
    return found


def pods(k8s: Clients, namespace: str) -> list[Json]:
    items: list[Json] = raw(k8s.core.list_namespaced_pod, namespace)["items"]
    return items


def test_each_node_runs_one_pod_in_its_own_folder(k8s: Clients, namespace: str, cluster: Cluster) -> None:
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("first", namespace)))
    status = ready(k8s, namespace)["status"]
    assert status == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    for number in range(3):
        stamp = cluster.node_folder(f"node-{number}") / "workspace" / namespace
        assert stamp.read_text() == "first\n"


def test_a_changed_template_makes_every_node_look_again_at_once(
    k8s: Clients, namespace: str, cluster: Cluster
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}}
    body = daemon_set("d", stamping("first", namespace), updateStrategy=strategy)
    k8s.apps.create_namespaced_daemon_set(namespace, body)
    ready(k8s, namespace)
    before = {pod["metadata"]["uid"] for pod in pods(k8s, namespace)}
    changed = {"spec": {"template": {"spec": stamping("second", namespace)}}}
    k8s.apps.patch_namespaced_daemon_set("d", namespace, changed)
    after = ready(k8s, namespace)
    assert after["metadata"]["generation"] == 2
    found = [pod for pod in pods(k8s, namespace) if "deletionTimestamp" not in pod["metadata"]]
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in found)
    assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in found} == {"2"}
    for number in range(3):
        stamp = cluster.node_folder(f"node-{number}") / "workspace" / namespace
        assert stamp.read_text() == "second\n"


def test_only_a_changed_spec_bumps_the_generation(k8s: Clients, namespace: str) -> None:
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("x", namespace)))
    labelled = {"metadata": {"labels": {"more": "yes"}}}
    assert k8s.apps.patch_namespaced_daemon_set("d", namespace, labelled).metadata.generation == 1
    kept = {"spec": {"revisionHistoryLimit": 3}}
    changed = k8s.apps.patch_namespaced_daemon_set("d", namespace, kept)
    assert changed.metadata.generation == 2
    assert changed.metadata.annotations["deprecated.daemonset.template.generation"] == "1"


def test_a_node_selector_chooses_nodes_as_their_labels_change(k8s: Clients, namespace: str) -> None:
    spec = {**stamping("x", namespace), "nodeSelector": {namespace: "yes"}}
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", spec))
    wait_for(lambda: read(k8s, namespace)["status"].get("observedGeneration"), "a look")
    assert read(k8s, namespace)["status"]["desiredNumberScheduled"] == 0
    k8s.core.patch_node("node-1", {"metadata": {"labels": {namespace: "yes"}}})
    ready(k8s, namespace, 1)
    assert [pod["spec"]["nodeName"] for pod in pods(k8s, namespace)] == ["node-1"]
    k8s.core.patch_node("node-1", {"metadata": {"labels": {namespace: None}}})
    wait_for(lambda: not pods(k8s, namespace), "the pod's end")


def test_a_pod_that_is_deleted_comes_back_on_its_node(k8s: Clients, namespace: str) -> None:
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("x", namespace)))
    ready(k8s, namespace)
    victim = pods(k8s, namespace)[0]
    k8s.core.delete_namespaced_pod(victim["metadata"]["name"], namespace)

    def replaced() -> bool:
        found = [pod for pod in pods(k8s, namespace) if pod["spec"].get("nodeName") == node]
        return bool(found) and found[0]["metadata"]["uid"] != victim["metadata"]["uid"]

    node = victim["spec"]["nodeName"]
    wait_for(replaced, "a new pod")


def test_foreground_deletion_keeps_the_owner_until_its_pods_are_gone(k8s: Clients, namespace: str) -> None:
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("x", namespace)))
    ready(k8s, namespace)
    answer = raw(k8s.apps.delete_namespaced_daemon_set, "d", namespace, propagation_policy="Foreground")
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    wait_for(lambda: not k8s.apps.list_namespaced_daemon_set(namespace).items, "the end")
    assert pods(k8s, namespace) == []


def test_background_deletion_answers_at_once_and_collects_what_was_owned(
    k8s: Clients, namespace: str
) -> None:
    owner = k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("x", namespace)))
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": owner.metadata.uid}
    metadata = {"name": "owned", "ownerReferences": [reference]}
    k8s.core.create_namespaced_config_map(namespace, {"metadata": metadata, "immutable": True})
    ready(k8s, namespace)
    answer = raw(k8s.apps.delete_namespaced_daemon_set, "d", namespace)
    assert (answer["kind"], answer["status"], answer["details"]["uid"]) == (
        "Status",
        "Success",
        owner.metadata.uid,
    )
    wait_for(lambda: not pods(k8s, namespace), "the pods' end")
    assert k8s.core.list_namespaced_config_map(namespace).items == []


def test_orphaned_pods_stay(k8s: Clients, namespace: str) -> None:
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", stamping("x", namespace)))
    ready(k8s, namespace)
    k8s.apps.delete_namespaced_daemon_set("d", namespace, propagation_policy="Orphan")
    assert len(pods(k8s, namespace)) == 3
    assert all(
        "ownerReferences" not in p["metadata"] or not p["metadata"]["ownerReferences"]
        for p in pods(k8s, namespace)
    )


def test_a_daemon_set_adopts_the_pods_that_its_forerunner_left(k8s: Clients, namespace: str) -> None:
    body = daemon_set("d", stamping("x", namespace))
    k8s.apps.create_namespaced_daemon_set(namespace, body)
    ready(k8s, namespace)
    before = {pod["metadata"]["uid"] for pod in pods(k8s, namespace)}
    k8s.apps.delete_namespaced_daemon_set("d", namespace, propagation_policy="Orphan")

    heir = k8s.apps.create_namespaced_daemon_set(namespace, body)
    ready(k8s, namespace)

    assert {pod["metadata"]["uid"] for pod in pods(k8s, namespace)} == before
    owners = [owner for pod in pods(k8s, namespace) for owner in pod["metadata"]["ownerReferences"]]
    assert {(owner["uid"], owner["controller"]) for owner in owners} == {(heir.metadata.uid, True)}


def test_a_service_account_that_is_missing_is_told_on_the_daemon_set(k8s: Clients, namespace: str) -> None:
    spec = {**stamping("x", namespace), "serviceAccountName": "nobody"}
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", spec))

    def told() -> list[Json]:
        found = raw(k8s.core.list_namespaced_event, namespace, field_selector="reason=FailedCreate")
        items: list[Json] = found["items"]
        return items

    event = wait_for(told, "FailedCreate")[0]
    assert event["involvedObject"]["kind"] == "DaemonSet"
    assert 'serviceaccount "nobody" not found' in event["message"]
    assert read(k8s, namespace)["status"]["desiredNumberScheduled"] == 3


def test_a_pod_that_asks_for_too_much_is_unschedulable(k8s: Clients, namespace: str) -> None:
    spec = pod_spec([shell("true", resources={"requests": {"memory": "1000Gi"}})])
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", spec))

    def refused() -> Json | None:
        for pod in pods(k8s, namespace):
            for condition in pod["status"].get("conditions", []):
                if condition.get("reason") == "Unschedulable":
                    return dict(condition)
        return None

    assert wait_for(refused, "Unschedulable")["message"] == "0/1 nodes are available: 1 Insufficient memory."


def test_a_failing_pod_keeps_the_counts_honest(k8s: Clients, namespace: str) -> None:
    spec = pod_spec([shell("[ $HOSTNAME = node-0 ] && exit 4; exit 0")], hostNetwork=True)
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", spec))
    wait_for(lambda: read(k8s, namespace)["status"]["numberReady"] == 2, "two ready pods")
    status = read(k8s, namespace)["status"]
    assert (status["desiredNumberScheduled"], status["numberUnavailable"]) == (3, 1)
    # It may be the last of the three to be started at all.
    wait_for(
        lambda: any(ended(pod) for pod in pods(k8s, namespace) if pod["spec"]["nodeName"] == "node-0"),
        "the failing pod's first end",
    )
