"""One Azure for a module's tests; each test finds it without faults and with its usual behaviour."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from azure.identity import ManagedIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient
from testkit.azure import APP, HEADER, SUBSCRIPTION, LaptopAzure, laptop_azure

from local import azurite as blob_server
from local.azure.settings import Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopAzure]:
    with laptop_azure(tmp_path_factory.mktemp("azure")) as azure:
        yield azure


@pytest.fixture
def azure(running: LaptopAzure) -> LaptopAzure:
    running.operate("DELETE", "/faults")
    running.operate("PATCH", "/behaviour", asdict(Behaviour()))
    return running


@pytest.fixture
def app(azure: LaptopAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagedIdentityCredential]:
    """The app's managed identity, through the unmodified azure-identity."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.identity}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    with ManagedIdentityCredential(client_id=APP["client_id"]) as credential:
        yield credential


@pytest.fixture
def arm(azure: LaptopAzure) -> dict[str, Any]:
    """What every management client is told to reach a cloud that is not the public one."""
    return {
        "base_url": azure.arm,
        "credential_scopes": [f"{azure.arm}/.default"],
        "connection_verify": str(azure.ca),
        "retry_total": 0,
    }


@pytest.fixture
def clusters(app: ManagedIdentityCredential, arm: dict[str, Any]) -> Iterator[ContainerServiceClient]:
    with ContainerServiceClient(app, SUBSCRIPTION, **arm) as client:
        yield client


@pytest.fixture
def storage(app: ManagedIdentityCredential, arm: dict[str, Any]) -> Iterator[StorageManagementClient]:
    with StorageManagementClient(app, SUBSCRIPTION, **arm) as client:
        yield client


@pytest.fixture
def roles(app: ManagedIdentityCredential, arm: dict[str, Any]) -> Iterator[AuthorizationManagementClient]:
    with AuthorizationManagementClient(app, SUBSCRIPTION, api_version="2022-04-01", **arm) as client:
        yield client


@pytest.fixture
def operator(azure: LaptopAzure) -> Iterator[BlobServiceClient]:
    """Who stages: the account's own key, straight on Azurite."""
    key = blob_server.account_keys(azure.azurite)["warmdata"]
    endpoint = f"{azure.azurite.endpoint}/warmdata"
    with BlobServiceClient(endpoint, credential=key, connection_verify=str(azure.ca)) as client:
        yield client
