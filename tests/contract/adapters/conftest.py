"""The adapters against the laptop's Azure and cluster: the same SDKs, the same HTTP, other addresses."""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from testkit.azure import APP, APP_ACCOUNT, DATA_ACCOUNT, HEADER, SUBSCRIPTION, LaptopAzure, laptop_azure
from testkit.cluster import Asked, running_cluster
from testkit.cluster import Cluster as LaptopCluster
from testkit.plays import AGENT, CLUSTER, RULES, Play

from local import azurite
from local.azure.settings import Behaviour
from shared.adapters.azure_clients import AzureClients
from shared.adapters.azure_storage import AzureStorageAccounts
from shared.adapters.documents import Documents
from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_session import KubernetesSessions
from shared.domain.model import AccessMode, Account
from shared.domain.runs import AccountQuery
from shared.settings import AccessSettings, AzureSettings

QUERY = AccountQuery(
    subscription_id=SUBSCRIPTION, name=DATA_ACCOUNT, resource_group="rg-storage", run_id="run-1"
)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopAzure]:
    with laptop_azure(tmp_path_factory.mktemp("azure")) as azure, pytest.MonkeyPatch.context() as environment:
        environment.setenv("IDENTITY_ENDPOINT", f"{azure.identity}/msi/token")
        environment.setenv("IDENTITY_HEADER", HEADER)
        yield azure


@pytest.fixture(autouse=True)
def azure(running: LaptopAzure) -> LaptopAzure:
    """Without faults and with its usual behaviour."""
    running.operate("DELETE", "/faults")
    running.operate("PATCH", "/behaviour", asdict(Behaviour()))
    return running


@pytest.fixture(scope="session")
def azure_settings(running: LaptopAzure) -> AzureSettings:
    return AzureSettings(
        arm_endpoint=running.arm,
        authority_host=running.authority,
        client_id=APP["client_id"],
        ca_bundle=running.ca,
        state_endpoint=f"{running.blob}/{APP_ACCOUNT}",
        state_container="warmup-state",
    )


@pytest.fixture(scope="session")
def clients(azure_settings: AzureSettings) -> AzureClients:
    return AzureClients(azure_settings)


@pytest.fixture
def documents(clients: AzureClients, azure_settings: AzureSettings) -> Documents:
    """In a container of the test's own, which nobody has made yet."""
    container = f"state-{os.urandom(4).hex()}"
    return Documents(clients, replace(azure_settings, state_container=container))


@pytest.fixture(scope="session")
def access() -> AccessSettings:
    return AccessSettings(mode=AccessMode.WINDOW, subnet_id=None, container="blast-db")


@pytest.fixture
def accounts(clients: AzureClients, access: AccessSettings) -> AzureStorageAccounts:
    return AzureStorageAccounts(clients, access)


@pytest.fixture
def account(accounts: AzureStorageAccounts) -> Account:
    """The databases' account; closed, as ARM describes it."""
    account = accounts.find(QUERY)
    assert isinstance(account, Account), account.sentence
    return account


@pytest.fixture
def open_account(accounts: AzureStorageAccounts, account: Account) -> Iterator[Account]:
    before = accounts.network(account)
    assert accounts.open(account, before) is None
    yield account
    accounts.restore(account, before)


@pytest.fixture(scope="session")
def staged(running: LaptopAzure) -> Iterator[ContainerClient]:
    """The container of databases, in the hands of who stages them."""
    key = azurite.account_keys(running.azurite)[DATA_ACCOUNT]
    endpoint = f"{running.azurite.endpoint}/{DATA_ACCOUNT}"
    with BlobServiceClient(endpoint, credential=key, connection_verify=str(running.ca)) as service:
        yield service.create_container("blast-db")


@pytest.fixture
def writer(running: LaptopAzure, documents: Documents) -> Iterator[ContainerClient]:
    """The container of the app's records, in the hands of somebody who spoils them."""
    key = azurite.account_keys(running.azurite)[APP_ACCOUNT]
    endpoint = f"{running.azurite.endpoint}/{APP_ACCOUNT}"
    with BlobServiceClient(endpoint, credential=key, connection_verify=str(running.ca)) as service:
        yield service.get_container_client(documents.container)


@pytest.fixture(scope="session")
def laptop_cluster(running: LaptopAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCluster]:
    """Three nodes, whose kubeconfig ARM hands out."""
    asked = Asked(control=True, images=["*/ncbi/elb:*", "*/pause:*"])
    with running_cluster(tmp_path_factory.mktemp("cluster"), asked) as cluster:
        (running.folder / "kubeconfig").write_bytes(cluster.kubeconfig.read_bytes())
        yield cluster


@pytest.fixture
def sessions(clients: AzureClients) -> KubernetesSessions:
    return KubernetesSessions(clients)


@pytest.fixture
def clusters(clients: AzureClients, sessions: KubernetesSessions) -> KubernetesClusters:
    return KubernetesClusters(clients, sessions, RULES, {"__init__.py": "", "__main__.py": AGENT})


@pytest.fixture
def play(clusters: KubernetesClusters, request: pytest.FixtureRequest) -> Iterator[Play]:
    play = Play(clusters=clusters, name=f"db{abs(hash(request.node.name)) % 10**8}")
    yield play
    clusters.remove(CLUSTER, play.database, None)
