"""Sessions with an API server: rights that are missing, tokens that grew stale, lists of many pages."""

from dataclasses import replace

import pytest
from kubernetes.client.exceptions import ApiException
from testkit.azure import LaptopAzure, eventually
from testkit.cluster import Cluster as LaptopCluster
from testkit.plays import CLUSTER, RULES, Play

from shared.adapters.azure_clients import AzureClients
from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import KubernetesSessions
from shared.domain.refusals import Reason, Refusal

pytestmark = pytest.mark.usefixtures("laptop_cluster")


def test_an_app_that_may_only_look_is_told_what_to_bind(
    azure: LaptopAzure, clients: AzureClients, laptop_cluster: LaptopCluster, play: Play
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_bytes()
    kubeconfig.write_bytes(laptop_cluster.reader_kubeconfig.read_bytes())
    reader = KubernetesClusters(clients, KubernetesSessions(clients), RULES, {})
    refusal = reader.apply(play.rollout("succeeds"), play.manifest("succeeds"))
    kubeconfig.write_bytes(there)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLUSTER_FORBIDDEN
    assert "deploy/cluster-role.yaml | kubectl apply -f -" in refusal.remedy


def test_a_session_whose_token_is_no_longer_accepted_is_made_anew(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    kubeconfig = azure.folder / "kubeconfig"
    there = kubeconfig.read_text()
    kubeconfig.write_text(there.replace("token: ", "token: stale"))
    sessions = KubernetesSessions(clients)
    with pytest.raises(ApiException, match="Unauthorized"):
        sessions.items(CLUSTER, "/api/v1/nodes")
    kubeconfig.write_text(there)

    assert len(sessions.items(CLUSTER, "/api/v1/nodes")) == 3


def sign_ins(azure: LaptopAzure) -> int:
    return sum("listClusterUserCredential" in line["path"] for line in azure.log("arm"))


def test_one_session_serves_every_spelling_of_a_cluster(azure: LaptopAzure, clients: AzureClients) -> None:
    sessions = KubernetesSessions(clients)
    already = sign_ins(azure)
    for spelt in (CLUSTER, replace(CLUSTER, name=CLUSTER.name.upper(), resource_group="RG-Blast")):
        assert len(sessions.items(spelt, "/api/v1/nodes")) == 3

    assert eventually(lambda: sign_ins(azure) > already)
    assert sign_ins(azure) == already + 1


def test_names_that_nobody_has_are_not_remembered_for_ever(clients: AzureClients) -> None:
    sessions = KubernetesSessions(clients)
    for number in range(200):
        sessions._slot(replace(CLUSTER, name=f"nobodys-{number}"))

    assert len(sessions._slots) == 64


def test_a_list_of_many_pages_is_whole(clients: AzureClients) -> None:
    nodes = KubernetesSessions(clients, page=2).items(CLUSTER, "/api/v1/nodes")

    assert len({node["metadata"]["name"] for node in nodes}) == 3
