from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from testkit.workloads import (
    Clients,
    ended,
    pause,
    pod,
    pod_spec,
    raw,
    shell,
    state_of,
    text,
    wait_for,
    waiting_reason,
)

if TYPE_CHECKING:
    from testkit.cluster import Cluster

Json = dict[str, Any]


def read(k8s: Clients, namespace: str, name: str = "p") -> Json:
    return raw(k8s.core.read_namespaced_pod, name, namespace)


def run(k8s: Clients, namespace: str, container: Json, **spec: Any) -> Json:
    """Run one init container; the pod once an attempt has ended."""
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([container], **spec)))

    def look() -> Json | None:
        found = read(k8s, namespace)
        return found if ended(found) else None

    found: Json = wait_for(look, "an ending")
    return found


def log(k8s: Clients, namespace: str, **options: Any) -> str:
    return text(k8s.core.read_namespaced_pod_log, "p", namespace, container="work", **options)


def mounted(target: str = "/workspace", **more: Any) -> list[Json]:
    return [{"name": "workspace", "mountPath": target, **more}]


def test_a_container_sees_its_pod_and_what_is_injected(k8s: Clients, namespace: str) -> None:
    env = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "BOTH", "value": "$(NODE)/$(NAME)/$$(NODE)"},
        {"name": "SET_BY_POD", "value": "own"},
    ]
    script = 'echo "$NODE $NAME $BOTH $SET_BY_POD $NODE_ALIAS $PWD"'
    found = run(k8s, namespace, shell(script, env=env, workingDir="/workspace", volumeMounts=mounted()))
    node = found["spec"]["nodeName"]
    expected = f"{node} p {node}/p/$(NODE) own alias-of-{node} /workspace\n"
    assert log(k8s, namespace) == expected


def test_a_host_path_is_the_nodes_own_folder(k8s: Clients, namespace: str, cluster: Cluster) -> None:
    script = "mkdir -p a/b && echo deep > a/b/c"
    found = run(k8s, namespace, shell(script, workingDir="/workspace", volumeMounts=mounted()))
    folder = cluster.node_folder(found["spec"]["nodeName"])
    assert (folder / "workspace/a/b/c").read_text() == "deep\n"


def test_a_config_map_is_mounted_by_items_into_subfolders(k8s: Clients, namespace: str) -> None:
    data = {"agent.main.py": "print('from the map')", "other": "not mounted"}
    k8s.core.create_namespaced_config_map(namespace, {"metadata": {"name": "code"}, "data": data})
    items = [{"key": "agent.main.py", "path": "agent/__main__.py"}]
    volume = {"name": "code", "configMap": {"name": "code", "items": items}}
    container = {
        **shell(""),
        "command": ["python3", "-B", "-m", "agent"],
        "workingDir": "/opt/warmup",
        "volumeMounts": [{"name": "code", "mountPath": "/opt/warmup", "readOnly": True}],
        "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }
    run(k8s, namespace, container, volumes=[volume])
    assert log(k8s, namespace) == "from the map\n"


def test_a_missing_config_map_leaves_the_pod_initializing_and_tells_an_event(
    k8s: Clients, namespace: str
) -> None:
    volume = {"name": "code", "configMap": {"name": "nowhere"}}
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([shell("true")], volumes=[volume])))
    event = wait_for(lambda: events(k8s, namespace, "FailedMount"), "FailedMount")[0]
    assert 'configmap "nowhere" not found' in event["message"]
    assert waiting_reason(read(k8s, namespace)) == "PodInitializing"


def test_the_root_is_read_only_when_asked_and_an_empty_dir_is_not(k8s: Clients, namespace: str) -> None:
    script = "touch /tmp/x && ! touch /x 2>/dev/null && ! touch /usr/x 2>/dev/null && touch /workspace/x"
    container = shell(
        script,
        securityContext={"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        volumeMounts=[*mounted(), {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    )
    found = run(k8s, namespace, container, volumes=[{"name": "tmp", "emptyDir": {}}])
    assert ended(found) is not None
    assert state_of(found)["state"]["terminated"]["exitCode"] == 0


def test_dropped_capabilities_are_gone(k8s: Clients, namespace: str) -> None:
    context = {"capabilities": {"drop": ["ALL"]}}
    run(k8s, namespace, shell("grep CapEff /proc/self/status", securityContext=context))
    assert log(k8s, namespace).split() == ["CapEff:", "0000000000000000"]


def test_the_programs_of_elastic_blast_are_there(k8s: Clients, namespace: str) -> None:
    run(k8s, namespace, shell("command -v python3 blastn blastdbcmd && python3 -c 'import ssl'"))
    assert len(log(k8s, namespace).splitlines()) == 3


def test_a_sub_path_mounts_a_part_of_a_volume(k8s: Clients, namespace: str, cluster: Cluster) -> None:
    found = run(k8s, namespace, shell("ls /part", volumeMounts=mounted("/part", subPath="sub/folder")))
    folder = cluster.node_folder(found["spec"]["nodeName"]) / "workspace/sub/folder"
    assert folder.is_dir()


def test_the_termination_message_is_kept_up_to_4096_bytes(k8s: Clients, namespace: str) -> None:
    script = "head -c 5000 /dev/zero | tr '\\0' m > /dev/termination-log; exit 3"
    ending = ended(run(k8s, namespace, shell(script)))
    assert ending is not None
    assert (ending["exitCode"], ending["reason"], ending["message"]) == (3, "Error", "m" * 4096)


def test_a_process_killed_by_a_signal_is_reported_as_the_shell_does(k8s: Clients, namespace: str) -> None:
    ending = ended(run(k8s, namespace, shell("bash -c 'kill -SEGV $BASHPID'; exit $?")))
    assert ending is not None
    assert ending["exitCode"] == 139


def test_too_much_memory_is_reported_as_oom_killed(k8s: Clients, namespace: str) -> None:
    hungry = "python3 -c 'import time; b = bytearray(300 * 1024 * 1024); time.sleep(60)'"
    limits = {"limits": {"memory": "64Mi"}}
    ending = ended(run(k8s, namespace, shell(f"exec {hungry}", resources=limits)))
    assert ending is not None
    assert (ending["reason"], ending["exitCode"]) == ("OOMKilled", 137)


def test_oom_in_a_pipeline_may_end_with_code_0_and_still_counts_as_failed(
    k8s: Clients, namespace: str
) -> None:
    hungry = "python3 -c 'import time; b = bytearray(300 * 1024 * 1024); time.sleep(60)'"
    limits = {"limits": {"memory": "64Mi"}}
    run(k8s, namespace, shell(f"{hungry} | cat; exit 0", resources=limits))
    found = wait_for(lambda: restarted(k8s, namespace), "a restart")
    ending = ended(found)
    assert ending is not None
    assert (ending["reason"], ending["exitCode"]) == ("OOMKilled", 0)


def test_a_command_that_does_not_exist_cannot_be_run(k8s: Clients, namespace: str) -> None:
    container = {**shell(""), "command": ["/no/such/program"]}
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([container])))
    found = wait_for(
        lambda: (p := read(k8s, namespace)) and waiting_reason(p) == "RunContainerError" and p,
        "RunContainerError",
    )
    assert state_of(found)["lastState"]["terminated"]["exitCode"] == 128
    assert "/no/such/program" in state_of(found)["state"]["waiting"]["message"]


@pytest.mark.parametrize(
    ("image", "policy", "reasons"),
    [
        ("docker.io/no/such:1", "IfNotPresent", {"ErrImagePull", "ImagePullBackOff"}),
        ("private.azurecr.io/x:1", "IfNotPresent", {"ErrImagePull", "ImagePullBackOff"}),
        ("docker.io/no/such:1", "Never", {"ErrImageNeverPull"}),
    ],
)
def test_an_image_that_cannot_be_had_is_told_as_the_kubelet_tells_it(
    k8s: Clients, namespace: str, image: str, policy: str, reasons: set[str]
) -> None:
    container = {**shell("true"), "image": image, "imagePullPolicy": policy}
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([container])))
    seen: set[str] = set()

    def all_seen() -> bool:
        reason = waiting_reason(read(k8s, namespace))
        seen.update({reason} if reason else set())
        return reasons <= seen

    wait_for(all_seen, f"{reasons}")
    assert seen <= reasons | {"PodInitializing"}


def test_an_unauthorized_registry_says_so(k8s: Clients, namespace: str) -> None:
    container = {**shell("true"), "image": "private.azurecr.io/x:1"}
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([container])))
    found = wait_for(
        lambda: (p := read(k8s, namespace)) and waiting_reason(p) == "ErrImagePull" and p, "a pull"
    )
    assert "401 Unauthorized" in state_of(found)["state"]["waiting"]["message"]


def test_a_missing_secret_is_a_config_error(k8s: Clients, namespace: str) -> None:
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "k"}}}]
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([shell("true", env=env)])))
    found = wait_for(
        lambda: (p := read(k8s, namespace)) and waiting_reason(p) == "CreateContainerConfigError" and p,
        "CreateContainerConfigError",
    )
    assert state_of(found)["state"]["waiting"]["message"] == 'secret "nowhere" not found'


def test_a_host_path_that_must_exist_is_told_by_an_event(k8s: Clients, namespace: str) -> None:
    volume = {"name": "disk", "hostPath": {"path": "/mnt/none", "type": "Directory"}}
    k8s.core.create_namespaced_pod(namespace, pod("p", pod_spec([shell("true")], volumes=[volume])))
    event = wait_for(lambda: events(k8s, namespace, "FailedMount"), "FailedMount")[0]
    assert event["message"].endswith("hostPath type check failed: /mnt/none is not a directory")


def test_a_deleted_pod_is_asked_politely_and_then_killed(
    k8s: Clients, namespace: str, cluster: Cluster
) -> None:
    polite = "trap 'echo bye > /workspace/bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    container = {**shell(polite, volumeMounts=mounted()), "name": "work"}
    spec = {**pod_spec([]), "containers": [container], "terminationGracePeriodSeconds": 10}
    k8s.core.create_namespaced_pod(namespace, pod("p", spec))
    wait_for(lambda: said_up(k8s, namespace), "the container")
    node = read(k8s, namespace)["spec"]["nodeName"]
    deleted = raw(k8s.core.delete_namespaced_pod, "p", namespace)
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 10
    wait_for(lambda: not k8s.core.list_namespaced_pod(namespace).items, "the end of the pod")
    assert (cluster.node_folder(node) / "workspace/bye").read_text() == "bye\n"


def test_logs_can_be_cut_stamped_and_followed(k8s: Clients, namespace: str) -> None:
    script = "for i in 1 2 3; do echo line $i; done; printf 'no end'"
    run(k8s, namespace, shell(script))
    assert log(k8s, namespace) == "line 1\nline 2\nline 3\nno end"
    assert log(k8s, namespace, tail_lines=2) == "line 3\nno end"
    assert log(k8s, namespace, limit_bytes=6) == "line 1"
    assert log(k8s, namespace, timestamps=True).splitlines()[0].endswith("Z line 1")
    assert log(k8s, namespace, follow=True) == "line 1\nline 2\nline 3\nno end"


def test_containers_run_together_after_all_init_containers_in_order(k8s: Clients, namespace: str) -> None:
    first = {**shell("echo 1 >> /workspace/order", volumeMounts=mounted()), "name": "first"}
    second = {**shell("echo 2 >> /workspace/order", volumeMounts=mounted()), "name": "second"}
    third = {**shell("cat /workspace/order; sleep 60", volumeMounts=mounted()), "name": "third"}
    spec = pod_spec([first, second])
    k8s.core.create_namespaced_pod(namespace, pod("p", {**spec, "containers": [third, pause()]}))
    wait_for(lambda: read(k8s, namespace)["status"]["phase"] == "Running", "the pod")
    said = wait_for(
        lambda: text(k8s.core.read_namespaced_pod_log, "p", namespace, container="third"), "its log"
    )
    assert said.splitlines()[-2:] == ["1", "2"]


def test_processes_see_no_processes_of_the_host(k8s: Clients, namespace: str) -> None:
    run(k8s, namespace, shell("ls -d /proc/[0-9]* | wc -l; echo $BASHPID"))
    count, own = log(k8s, namespace).split()
    assert int(count) <= 3
    assert own == "1"


def events(k8s: Clients, namespace: str, reason: str) -> list[Json]:
    found = raw(k8s.core.list_namespaced_event, namespace, field_selector=f"reason={reason}")
    items: list[Json] = found["items"]
    return items


def restarted(k8s: Clients, namespace: str) -> Json | None:
    found = read(k8s, namespace)
    return found if state_of(found)["restartCount"] and ended(found) else None


def said_up(k8s: Clients, namespace: str) -> bool:
    return bool(state_of(read(k8s, namespace)).get("containerID")) and "up" in log(k8s, namespace)
