"""A stack on a cluster of somebody else's: one that was started apart, known by its kubeconfig alone."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.cluster import Asked, Cluster, running_cluster
from testkit.fate import CLUSTERS
from testkit.stack import DATABASE, LaptopStack, laptop_stack
from testkit.workloads import clients

from local import evidence
from local.joining import name_of_webhook
from local.kubeconfigs import ClusterError
from local.places import places
from local.stack import StackError, planned
from local.stack import up as start

pytestmark = pytest.mark.stack

IMAGE = "registry.example.org/python:3.11"
# As loopback as any, and none that a server of the stack would take by mistake.
ADDRESS = "127.0.0.2"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """It knows nothing of the stack: no image of its registry, no variable of its identity endpoint."""
    images = ["registry.example.org/*", "mcr.microsoft.com/oss/kubernetes/pause:*"]
    asked = Asked(nodes=2, images=images, control=True)
    with running_cluster(tmp_path_factory.mktemp("given"), asked) as found:
        yield found


@pytest.fixture(scope="module")
def settings(given: Cluster) -> Iterator[dict[str, str]]:
    named = {
        "STACK_CLUSTER": "kubeconfig",
        "KUBECONFIG": str(given.kubeconfig),
        "STACK_IMAGE": IMAGE,
        "STACK_ADDRESS": ADDRESS,
        "STACK_NODE_FOLDERS": str(given.root / "nodes/{node}/srv/blast"),
        "STACK_NODE_DIRECTORY": "/srv/blast",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in named.items():
            environment.setenv(name, value)
        yield named


@pytest.fixture(scope="module")
def stack(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopStack]:
    assert settings
    with laptop_stack(tmp_path_factory.mktemp("stack")) as up:
        yield up


def webhooks(given: Cluster) -> set[str]:
    answer = given.ask("GET", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")
    return {each["metadata"]["name"] for each in answer.body["items"]}


def test_its_nodes_are_warmed_and_no_cluster_is_started_beside_it(stack: LaptopStack, given: Cluster) -> None:
    files = evidence.database_files(stack.sources[DATABASE])

    output = stack.warm(DATABASE)["output"]

    assert (output["status"], output["nodes_ready"]) == ("succeeded", 2)
    for node in ("node-0", "node-1"):
        folder = given.node_folder(node) / "srv/blast/blast"
        assert evidence.differing_files(stack.sources[DATABASE], folder, files) == []
    assert {each.name for each in stack.up.started} == {"azurite", "azure", "host"}
    with clients(given.kubeconfig) as k8s:
        (daemon_set,) = k8s.apps.list_namespaced_daemon_set("default").items
    assert daemon_set.spec.template.spec.init_containers[0].image == IMAGE


def test_arm_tells_what_the_cluster_says_of_itself(stack: LaptopStack, given: Cluster) -> None:
    cluster = stack.fate.arm("GET", CLUSTERS, "2024-09-01")["value"][0]["properties"]
    assert cluster["kubernetesVersion"] == "1.34"
    assert (cluster["fqdn"], cluster["agentPoolProfiles"][0]["count"]) == ("127.0.0.1", 2)

    (credential,) = stack.fate.arm("POST", f"{CLUSTERS}/elb-cluster/listClusterUserCredential", "2024-09-01")[
        "kubeconfigs"
    ]
    assert given.url in base64.b64decode(credential["value"]).decode()


def test_the_end_of_the_stack_takes_its_webhook_away(
    given: Cluster, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert settings
    before = webhooks(given)
    with laptop_stack(tmp_path_factory.mktemp("another")) as another:
        name = name_of_webhook(another.places.kubeconfig)
        assert webhooks(given) - before == {name}

    assert webhooks(given) == before


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            {"effect": "lost_reply", "verb": "create", "resource": "mutatingwebhookconfigurations"},
            "stopped answering while the stack's webhook was tried",
        ),
        (
            {"effect": "error", "verb": "create", "resource": "pods", "code": 403},
            "the user of KUBECONFIG may not put the stack's webhook there",
        ),
    ],
)
def test_a_start_that_fails_in_the_middle_says_why_and_leaves_no_webhook(
    given: Cluster, settings: dict[str, str], tmp_path: Path, fault: dict[str, object], told: str
) -> None:
    assert settings
    before = webhooks(given)
    given.control("PUT", "faults", {"faults": [fault]})
    try:
        with pytest.raises(ClusterError, match=told):
            start(places(tmp_path))
    finally:
        given.control("PUT", "faults", {"faults": []})

    assert webhooks(given) == before


def test_a_cluster_elsewhere_needs_an_address_that_it_can_reach(
    given: Cluster, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings
    monkeypatch.setenv("STACK_ADDRESS", "203.0.113.1")  # of nobody's machine

    with pytest.raises(
        StackError, match=r"STACK_ADDRESS is '203\.0\.113\.1' .* give an IPv4 address of this"
    ):
        planned(places(tmp_path))
    assert given.process.poll() is None
