"""What a namespace forbids its pods: Pod Security by its labels, deployment safeguards by the control."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiException
from testkit.cluster import Asked, Cluster, running_cluster
from testkit.workloads import Clients, clients, daemon_set, pod, pod_spec, raw, shell, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]

HOST_PATH = 'violate PodSecurity "baseline:latest": hostPath volumes (volume "workspace")'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("own"), Asked(nodes=2, control=True)) as found:
        yield found


@pytest.fixture
def k8s(own: Cluster) -> Iterator[Clients]:
    with clients(own.kubeconfig) as found:
        yield found


def refusal(call: Callable[..., Any], *arguments: Any) -> Json:
    with pytest.raises(ApiException) as caught:
        call(*arguments)
    status: Json = json.loads(caught.value.body)
    return status


def labelled(k8s: Clients, name: str, **labels: str) -> str:
    known = {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    k8s.core.create_namespace({"metadata": {"name": name, "labels": known}})
    return name


def test_a_pod_with_a_host_path_is_refused_by_a_baseline_namespace(k8s: Clients) -> None:
    namespace = labelled(k8s, "baseline", enforce="baseline")

    status = refusal(k8s.core.create_namespaced_pod, namespace, pod("x", pod_spec([shell("true")])))

    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert status["message"] == f'pods "x" is forbidden: {HOST_PATH.replace("violate", "violates")}'
    assert status["details"] == {"name": "x", "kind": "pods"}


def test_a_daemon_set_is_stored_there_with_a_warning_and_its_controller_tells_the_refusal(
    k8s: Clients,
) -> None:
    namespace = labelled(k8s, "warned", enforce="baseline")

    _, _, headers = k8s.apps.create_namespaced_daemon_set_with_http_info(
        namespace, daemon_set("d", pod_spec([shell("true")]))
    )

    told = HOST_PATH.replace('"', '\\"')
    assert headers["Warning"] == f'299 - "would {told}"'
    event = events(k8s, namespace)[0]
    assert (event["reason"], event["type"]) == ("FailedCreate", "Warning")
    assert event["message"].startswith('Error creating: pods "d-')
    assert event["message"].endswith(f"is forbidden: {HOST_PATH.replace('violate', 'violates')}")


def events(k8s: Clients, namespace: str) -> list[Json]:
    found: list[Json] = []

    def look() -> bool:
        found[:] = raw(k8s.core.list_namespaced_event, namespace)["items"]
        return bool(found)

    wait_for(look, "an event")
    return found


def test_the_version_that_a_namespace_names_is_told(k8s: Clients) -> None:
    namespace = labelled(k8s, "versioned", enforce="baseline", enforce_version="v1.27")
    status = refusal(k8s.core.create_namespaced_pod, namespace, pod("x", pod_spec([shell("true")])))

    assert 'violates PodSecurity "baseline:v1.27": ' in status["message"]


def test_a_privileged_namespace_allows_everything(k8s: Clients) -> None:
    namespace = labelled(k8s, "privileged", enforce="privileged")

    assert k8s.core.create_namespaced_pod(namespace, pod("x", pod_spec([shell("true")])))


def test_a_level_that_does_not_exist_is_refused(k8s: Clients) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "strict"}
    status = refusal(k8s.core.create_namespace, {"metadata": {"name": "odd", "labels": labels}})

    assert status["code"] == 422
    assert status["message"] == (
        'Namespace "odd" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: '
        '"strict": must be one of privileged, baseline, restricted'
    )


def test_a_refused_pod_is_tried_again_less_and_less_often_until_it_is_allowed(k8s: Clients) -> None:
    namespace = labelled(k8s, "patient", enforce="baseline")
    k8s.apps.create_namespaced_daemon_set(namespace, daemon_set("d", pod_spec([shell("true")])))
    wait_for(lambda: len(refusals(k8s, namespace)) > 2, "three refusals")

    moments = [int(event["metadata"]["name"].rpartition(".")[2], 16) for event in refusals(k8s, namespace)]
    allowed = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    k8s.core.patch_namespace(namespace, allowed)

    first, second = moments[1] - moments[0], moments[2] - moments[1]
    assert second > first
    wait_for(lambda: len(raw(k8s.core.list_namespaced_pod, namespace)["items"]) == 2, "two pods")


def refusals(k8s: Clients, namespace: str) -> list[Json]:
    """The events that tell them, oldest first."""
    selected = raw(k8s.core.list_namespaced_event, namespace, field_selector="reason=FailedCreate")["items"]
    return sorted(selected, key=lambda event: str(event["metadata"]["name"].rpartition(".")[2]))


@pytest.mark.parametrize(
    ("policy", "answer", "told"),
    [
        (
            "gatekeeper",
            (403, "Forbidden"),
            'admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy-',
        ),
        (
            "validating-policy",
            (422, "Invalid"),
            'daemonsets.apps "d" is forbidden: ValidatingAdmissionPolicy \'aks-managed-baseline-hostpath-',
        ),
    ],
)
def test_safeguards_refuse_the_daemon_set_itself(
    own: Cluster, k8s: Clients, policy: str, answer: tuple[int, str], told: str
) -> None:
    namespace = labelled(k8s, policy)
    assert own.control("PUT", "safeguards", {"namespace": namespace, "policy": policy}).code == 200

    body = daemon_set("d", pod_spec([shell("true")]))
    status = refusal(k8s.apps.create_namespaced_daemon_set, namespace, body)

    assert (status["code"], status["reason"]) == answer
    assert status["message"].startswith(told)
    own.control("PUT", "safeguards", {"namespace": namespace, "policy": None})
    assert k8s.apps.create_namespaced_daemon_set(namespace, body)


def test_a_policy_that_nobody_knows_is_refused(own: Cluster) -> None:
    answer = own.control("PUT", "safeguards", {"policy": "strict"})

    assert answer.code == 400
    assert "gatekeeper, validating-policy, and null" in answer.body["message"]
