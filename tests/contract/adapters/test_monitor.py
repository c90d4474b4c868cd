"""The port `Monitor`."""

import json
from dataclasses import replace

import pytest
from testkit.azure import SUBSCRIPTION, LaptopAzure
from testkit.cluster import Cluster as LaptopCluster

from shared.adapters.azure_clients import RETRIES, AzureClients
from shared.adapters.kubernetes_monitor import KubernetesMonitor
from shared.adapters.kubernetes_session import KubernetesSessions
from shared.domain.looking import name_of
from shared.domain.model import Cluster
from shared.domain.refusals import Reason, Refusal
from shared.domain.warmth import Sighting
from shared.ports import PassingError

pytestmark = pytest.mark.usefixtures("laptop_cluster")

CLUSTER = Cluster(subscription_id=SUBSCRIPTION, resource_group="rg-blast", name="blast_aks-1")


@pytest.fixture
def monitor(clients: AzureClients) -> KubernetesMonitor:
    return KubernetesMonitor(KubernetesSessions(clients))


def test_a_cold_cluster_shows_nothing_and_no_fault(monitor: KubernetesMonitor) -> None:
    sight = monitor.sight(CLUSTER)

    assert isinstance(sight, Sighting)
    assert (sight.workspace, sight.vmtouch, sight.jobs, sight.faults) == (None, None, (), ())
    assert "default" in set(map(name_of, sight.namespaces))


def test_a_part_that_does_not_answer_is_named(
    monitor: KubernetesMonitor, laptop_cluster: LaptopCluster
) -> None:
    fault = {"effect": "error", "verb": "list", "resource": "jobs", "share": 1, "code": 500}
    laptop_cluster.control("PUT", "faults", {"seed": 1, "faults": [fault]})
    try:
        sight = monitor.sight(CLUSTER)
    finally:
        laptop_cluster.control("PUT", "faults", {"seed": 1, "faults": []})

    assert isinstance(sight, Sighting)
    assert len(sight.faults) == 1
    assert sight.faults[0].startswith("jobs could not be read (500")


def test_a_cluster_that_is_not_there_is_a_refusal(monitor: KubernetesMonitor) -> None:
    refusal = monitor.sight(replace(CLUSTER, name="another"))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLUSTER_NOT_FOUND


def test_a_cluster_that_does_not_answer_at_all_is_not_cold(
    azure: LaptopAzure, clients: AzureClients, laptop_cluster: LaptopCluster
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_text()
    kubeconfig.write_text(there.replace(laptop_cluster.url, "https://127.0.0.1:1"))
    try:
        with pytest.raises(PassingError, match="does not answer"):
            KubernetesMonitor(KubernetesSessions(clients)).sight(CLUSTER)
    finally:
        kubeconfig.write_text(there)


def test_a_sign_in_that_failed_is_not_tried_again_at_once(azure: LaptopAzure, clients: AzureClients) -> None:
    """Each look asks for seven things at once; a cluster behind a silent ARM must not hold them all."""
    azure.fault(area="arm", kind="status", status=500, path="listClusterUserCredential")
    monitor = KubernetesMonitor(KubernetesSessions(clients))

    tries = sign_ins(azure)
    for _ in range(3):
        with pytest.raises(PassingError, match="signing in"):
            monitor.sight(CLUSTER)

    assert 0 < sign_ins(azure) - tries <= RETRIES + 1


def sign_ins(azure: LaptopAzure) -> int:
    return sum("listClusterUserCredential" in json.dumps(line) for line in azure.log("arm"))
