"""kubectl by hand, as people use it."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.workloads import Clients, daemon_set, pod_spec, raw, shell

if TYPE_CHECKING:
    from testkit.cluster import Cluster

Json = dict[str, Any]

PATIENCE_SECONDS = 60
KUBECTL = Path(sysconfig.get_path("scripts"), "kubectl")
FAILS_ONCE = "echo attempt; test -e /workspace/seen && sleep 1000; touch /workspace/seen; exit 3"


class Kubectl:
    """The program, with the cluster's kubeconfig, in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._start = [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]

    def __call__(self, *arguments: str, body: Json | None = None) -> str:
        done = self.run(*arguments, body=body)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: str, body: Json | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._start, *arguments],
            input=json.dumps(body) if body else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


def manifest(name: str, script: str) -> Json:
    mounts = [{"name": "workspace", "mountPath": "/workspace"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        **daemon_set(name, pod_spec([shell(script, volumeMounts=mounts)])),
    }


def test_a_daemon_set_is_applied_rolled_out_described_and_deleted(kubectl: Kubectl) -> None:
    body = manifest("d", "echo hello")
    assert kubectl("apply", "-f", "-", body=body) == "daemonset.apps/d created\n"
    assert 'daemon set "d" successfully rolled out' in kubectl("rollout", "status", "daemonset/d")
    assert kubectl("apply", "-f", "-", body=body) == "daemonset.apps/d unchanged\n"

    assert "Desired Number of Nodes Scheduled: 3" in kubectl("describe", "daemonset", "d")
    rows = kubectl("get", "pods", "--no-headers", "-o", "wide").splitlines()
    assert [row.split()[1:3] for row in rows] == [["1/1", "Running"]] * 3
    assert kubectl("logs", rows[0].split()[0], "-c", "work") == "hello\n"
    assert "Reason:       Completed" in kubectl("describe", "pod", rows[0].split()[0])

    assert "restarted" in kubectl("rollout", "restart", "daemonset/d")
    assert "successfully rolled out" in kubectl("rollout", "status", "daemonset/d")
    assert "deleted" in kubectl("delete", "daemonset", "d", "--cascade=foreground")
    assert kubectl("get", "pods", "--no-headers") == ""


def test_the_log_of_the_attempt_before_is_shown(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", body=manifest("f", FAILS_ONCE))
    wanted = "jsonpath={.status.initContainerStatuses[0].restartCount}=1"
    kubectl("wait", "pod", "--selector", "app=f", f"--for={wanted}", "--timeout=30s")
    name = kubectl("get", "pods", "-o", "name").split()[0]

    assert kubectl("logs", "-p", name, "-c", "work") == "attempt\n"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["configmap", "c", "--from-literal=key=wörter"], {"data": {"key": "wörter"}}),
        (["secret", "generic", "c", "--from-literal=key=hidden"], {"data": {"key": "aGlkZGVu"}}),
        (["serviceaccount", "c"], {}),
    ],
)
def test_objects_are_created_from_the_command_line(kubectl: Kubectl, command: list[str], shown: Json) -> None:
    kubectl("create", *command)

    found = json.loads(kubectl("get", command[0], "c", "-o", "json"))
    assert found["metadata"]["name"] == "c"
    assert shown.items() <= found.items()


def test_a_namespace_is_created_and_deleted_from_the_command_line(kubectl: Kubectl) -> None:
    assert kubectl("create", "namespace", "by-hand") == "namespace/by-hand created\n"
    assert "deleted" in kubectl("delete", "namespace", "by-hand")


def test_a_misspelt_field_is_refused_and_pruned_only_where_that_is_asked_for(kubectl: Kubectl) -> None:
    body = manifest("typo", "true")
    body["spec"]["template"]["spec"]["tolerationz"] = []

    refused = kubectl.run("apply", "-f", "-", body=body)
    assert refused.returncode != 0
    assert 'strict decoding error: unknown field "spec.template.spec.tolerationz"' in refused.stderr

    warned = kubectl.run("apply", "--validate=warn", "-f", "-", body=body)
    assert warned.stdout == "daemonset.apps/typo created\n"
    assert 'Warning: unknown field "spec.template.spec.tolerationz"' in warned.stderr
    found = json.loads(kubectl("get", "daemonset", "typo", "-o", "json"))
    assert "tolerationz" not in found["spec"]["template"]["spec"]


def test_a_refused_pod_template_is_warned_of(kubectl: Kubectl, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")

    done = kubectl.run("apply", "-f", "-", body=manifest("w", "true"))

    assert done.returncode == 0
    assert 'Warning: would violate PodSecurity "baseline:latest": hostPath volumes' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["exec", "p", "--", "ls"], "/pods/p/exec is not served here"),
        (["auth", "can-i", "get", "pods"], "selfsubjectaccessreviews is not served here"),
        (["get", "services"], 'doesn\'t have a resource type "services"'),
        (["create", "job", "j", "--image=x"], "unknown format"),
        (["top", "nodes"], "Metrics API not available"),
    ],
)
def test_what_is_not_served_says_so(kubectl: Kubectl, arguments: list[str], told: str) -> None:
    kubectl("apply", "-f", "-", body={"apiVersion": "v1", "kind": "Pod", **a_pod("p")})

    done = kubectl.run(*arguments)

    assert done.returncode != 0
    assert told in done.stderr


def a_pod(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": pod_spec([])}


def test_what_is_created_without_a_namespace_lies_in_the_default_one(cluster: Cluster) -> None:
    kubectl = Kubectl(cluster, "")
    kubectl("create", "configmap", "anywhere", "--from-literal=a=b")
    found = json.loads(kubectl("get", "configmap", "anywhere", "--output", "json"))
    kubectl("delete", "configmap", "anywhere")

    assert found["metadata"]["namespace"] == "default"
    assert "generateName" not in found["metadata"]


@pytest.mark.parametrize("namespace_told", ["", None])
def test_an_object_may_leave_its_namespace_to_the_path(
    k8s: Clients, namespace: str, namespace_told: str | None
) -> None:
    body = {"metadata": {"name": "placed", "namespace": namespace_told}}

    made = raw(k8s.core.create_namespaced_config_map, namespace, body)

    assert made["metadata"]["namespace"] == namespace


def test_a_selected_list_does_not_count_what_remains(k8s: Clients, namespace: str) -> None:
    for name in ("a", "b"):
        k8s.core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": {"x": "y"}}})

    page = raw(k8s.core.list_namespaced_config_map, namespace, limit=1, label_selector="x=y")

    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]
