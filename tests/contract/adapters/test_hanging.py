"""What never answers holds a thread for a bounded time: each call has a read time-out and three tries."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kubernetes.client.exceptions import ApiException
from testkit.azure import LaptopAzure
from testkit.cluster import Cluster as LaptopCluster
from testkit.plays import CLUSTER
from urllib3.exceptions import HTTPError

from shared.adapters.azure_clients import CONNECT_SECONDS, READ_SECONDS, RETRIES, AzureClients, Patience
from shared.adapters.azure_storage import AzureStorageAccounts
from shared.adapters.documents import Documents
from shared.adapters.kubernetes_session import Ask, KubernetesSessions
from shared.domain.model import Account
from shared.ports import PassingError
from shared.settings import AccessSettings, AzureSettings

HANGS_FOR = 600.0
MUCH_LESS = HANGS_FOR / 10
SHORT = Patience(read_seconds=0.2, token_pauses_seconds=(0.0, 0.0))


@pytest.fixture
def hurried(azure_settings: AzureSettings) -> AzureClients:
    """Clients that have not signed in yet."""
    return AzureClients(azure_settings, SHORT)


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < MUCH_LESS


def test_the_product_waits_for_seconds() -> None:
    assert CONNECT_SECONDS + READ_SECONDS <= 30
    assert RETRIES == 2
    assert Patience().read_seconds == READ_SECONDS
    assert Ask(path="/").read_seconds == READ_SECONDS


@pytest.mark.parametrize("area", ["arm", "identity"])
def test_an_account_behind_something_that_hangs_is_a_matter_of_patience(
    azure: LaptopAzure, hurried: AzureClients, access: AccessSettings, account: Account, area: str
) -> None:
    azure.fault(area=area, kind="hang", seconds=HANGS_FOR)

    with soon(), pytest.raises(PassingError, match="failed for now"):
        AzureStorageAccounts(hurried, access).network(account)


def test_documents_in_blobs_that_hang_are_a_matter_of_patience(
    azure: LaptopAzure, hurried: AzureClients, azure_settings: AzureSettings
) -> None:
    azure.fault(area="blob", kind="hang", seconds=HANGS_FOR)

    with soon(), pytest.raises(PassingError):
        Documents(hurried, azure_settings).names("claims/")


@pytest.fixture
def hanging(laptop_cluster: LaptopCluster) -> Iterator[Callable[[str], None]]:
    def hang(resource: str) -> None:
        laptop_cluster.control("PUT", "faults", {"faults": [{"effect": "hang", "resource": resource}]})

    yield hang
    laptop_cluster.control("PUT", "faults", {"faults": []})


def test_an_api_server_that_hangs_is_given_up(
    sessions: KubernetesSessions, hanging: Callable[[str], None]
) -> None:
    hanging("nodes")

    with soon(), pytest.raises((ApiException, HTTPError)):
        sessions.read(CLUSTER, Ask(path="/api/v1/nodes", read_seconds=1))
