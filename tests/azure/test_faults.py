"""Faults on demand, seen from the clients' side."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.mgmt.storage.models import NetworkRuleSet
from testkit.azure import DATA_ACCOUNT, HEADER, account_change, refusal_of

if TYPE_CHECKING:
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.storage import StorageManagementClient
    from azure.storage.blob import BlobServiceClient
    from testkit.azure import LaptopAzure

CONTENT = bytes(range(256)) * 4096


def test_throttling_says_when_to_come_back(azure: LaptopAzure, clusters: ContainerServiceClient) -> None:
    azure.fault(area="arm", kind="status", status=429, retry_after_seconds=7, count=1)

    with pytest.raises(HttpResponseError) as refused:
        clusters.managed_clusters.get("rg-blast", "blast_aks-1")
    assert refusal_of(refused.value) == (429, "TooManyRequests")
    assert getattr(refused.value.response, "headers", {})["Retry-After"] == "7"
    assert clusters.managed_clusters.get("rg-blast", "blast_aks-1").name == "blast_aks-1"


@pytest.mark.parametrize("kind", ["reset", "hang"])
def test_a_connection_breaks_before_anything_is_done(
    azure: LaptopAzure, storage: StorageManagementClient, kind: str
) -> None:
    update = storage.storage_accounts.update
    update("rg-storage", DATA_ACCOUNT, account_change(public_network_access="Disabled"))
    azure.fault(area="arm", kind=kind, method="PATCH", seconds=0.05)

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        update("rg-storage", DATA_ACCOUNT, account_change(public_network_access="Enabled"))
    assert (
        storage.storage_accounts.get_properties("rg-storage", DATA_ACCOUNT).public_network_access
        == "Disabled"
    )


def test_a_lost_reply_has_been_carried_out(azure: LaptopAzure, storage: StorageManagementClient) -> None:
    update = storage.storage_accounts.update
    update("rg-storage", DATA_ACCOUNT, account_change(public_network_access="Disabled"))
    azure.fault(area="arm", kind="lost_reply", method="PATCH")

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        update("rg-storage", DATA_ACCOUNT, account_change(public_network_access="Enabled"))
    assert (
        storage.storage_accounts.get_properties("rg-storage", DATA_ACCOUNT).public_network_access == "Enabled"
    )


def test_the_identity_endpoint_fails_on_demand(azure: LaptopAzure) -> None:
    azure.fault(area="identity", kind="status", status=500, path="/nodes/node-1/")

    assert token(azure, "node-1")[0] == 500
    assert token(azure, "node-2")[0] == 200


def token(azure: LaptopAzure, node: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(azure.identity.removeprefix("http://"), timeout=5)
    path = f"/nodes/{node}/msi/token?resource=https://storage.azure.com&api-version=2019-08-01"
    connection.request("GET", path, headers={"X-IDENTITY-HEADER": HEADER})
    with connection.getresponse() as answer:
        body = json.loads(answer.read())
    connection.close()
    return answer.status, body.get("access_token", "")


@pytest.fixture
def readable(storage: StorageManagementClient, operator: BlobServiceClient) -> None:
    opened = NetworkRuleSet(default_action="Allow")
    storage.storage_accounts.update(
        "rg-storage",
        DATA_ACCOUNT,
        account_change(public_network_access="Enabled", network_rule_set=opened),
    )
    container = operator.get_container_client("blast-db")
    if not container.exists():
        container.create_container()
        container.upload_blob("db/db.nsq", CONTENT)


def read(azure: LaptopAzure) -> bytes:
    """As the app, without a library that would ask again."""
    connection = http.client.HTTPConnection(azure.identity.removeprefix("http://"), timeout=5)
    query = "resource=https://storage.azure.com&api-version=2019-08-01"
    connection.request("GET", f"/msi/token?{query}", headers={"X-IDENTITY-HEADER": HEADER})
    with connection.getresponse() as answer:
        bearer = json.loads(answer.read())["access_token"]
    connection.close()
    trust = ssl.create_default_context(cafile=str(azure.ca))
    gate = http.client.HTTPSConnection(azure.blob.removeprefix("https://"), context=trust, timeout=5)
    headers = {"Authorization": f"Bearer {bearer}", "x-ms-version": "2023-11-03"}
    try:
        gate.request("GET", f"/{DATA_ACCOUNT}/blast-db/db/db.nsq", headers=headers)
        with gate.getresponse() as answer:
            assert answer.status == 200, answer.status
            return answer.read()
    finally:
        gate.close()


@pytest.mark.usefixtures("readable")
def test_a_truncated_body_ends_where_it_was_told_to(azure: LaptopAzure) -> None:
    azure.fault(area="blob", kind="truncate", after_bytes=1000, count=1)

    with pytest.raises(http.client.IncompleteRead) as broken:
        read(azure)
    assert broken.value.partial == CONTENT[:1000]
    assert azure.has_logged("blob", status=200, bytes=1000)
    assert read(azure) == CONTENT


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize("kind", ["reset", "hang", "lost_reply"])
def test_a_blob_request_breaks_on_demand(azure: LaptopAzure, kind: str) -> None:
    azure.fault(area="blob", kind=kind, seconds=0.05, count=1)

    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        read(azure)
    assert read(azure) == CONTENT


@pytest.mark.usefixtures("readable")
def test_a_busy_server_says_so(azure: LaptopAzure) -> None:
    azure.fault(area="blob", kind="status", status=503, count=1)

    with pytest.raises(AssertionError, match="503"):
        read(azure)
    assert azure.has_logged("blob", status=503, caller="app")


@pytest.mark.usefixtures("readable")
def test_the_same_seed_draws_the_same_faults(azure: LaptopAzure) -> None:
    def outcomes() -> list[bool]:
        azure.fault(area="identity", kind="status", status=500, probability=0.5)
        return [token(azure, "node-1")[0] == 500 for _ in range(12)]

    first = outcomes()
    assert outcomes() == first
    assert {True, False} == set(first)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"area": "moon", "kind": "reset"},
        {"area": "arm", "kind": "truncate"},
        {"area": "arm", "kind": "reset", "colour": "red"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(azure: LaptopAzure, rule: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        azure.fault(**rule)
    with refused.value:
        assert refused.value.code == 400


@pytest.mark.parametrize(
    "change", [{"role_delay_seconds": "soon"}, {"colour": "red"}, {"may_grant_roles": 1}]
)
def test_an_odd_behaviour_is_refused(azure: LaptopAzure, change: dict[str, object]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        azure.operate("PATCH", "/behaviour", change)
    with refused.value:
        assert refused.value.code == 400


def test_the_state_can_be_looked_at(azure: LaptopAzure) -> None:
    state = azure.operate("GET", "/state")

    assert set(state) == {"assignments", "networks", "power", "behaviour"}
    assert DATA_ACCOUNT in state["networks"]


@pytest.mark.parametrize("body", [[], {"rules": 3}, {"rules": [], "seed": "one"}])
def test_faults_that_are_no_rules_are_refused(azure: LaptopAzure, body: object) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        azure.operate("PUT", "/faults", body)
    with refused.value:
        assert refused.value.code == 400


def test_a_fault_may_say_azures_code(azure: LaptopAzure, clusters: ContainerServiceClient) -> None:
    azure.fault(area="arm", kind="status", status=409, code="OperationNotAllowed", count=1)

    with pytest.raises(HttpResponseError) as refused:
        clusters.managed_clusters.get("rg-blast", "blast_aks-1")
    assert refusal_of(refused.value) == (409, "OperationNotAllowed")
