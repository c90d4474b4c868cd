"""The blob gate before a real Azurite: who gets through, what arrives, what the log says."""

from __future__ import annotations

import os
import socket
import ssl
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.storage.models import NetworkRuleSet, VirtualNetworkRule
from azure.storage.blob import BlobClient, BlobServiceClient
from testkit.azure import (
    APP_ACCOUNT,
    DATA_ACCOUNT,
    HEADER,
    KUBELET,
    READER,
    account_change,
    account_id,
    azcopy,
    eventually,
    refusal_of,
    role_grant,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.mgmt.authorization import AuthorizationManagementClient
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.storage import StorageManagementClient
    from testkit.azure import LaptopAzure

MEBIBYTE = 1024 * 1024
CONTENT = os.urandom(9 * MEBIBYTE)
AN_HOUR = 3600


@pytest.fixture
def opened(storage: StorageManagementClient) -> None:
    change_network(storage, public="Enabled", action="Allow")


@pytest.fixture(autouse=True)
def staged(operator: BlobServiceClient) -> None:
    container = operator.get_container_client("blast-db")
    if not container.exists():
        container.create_container()
        container.upload_blob("db/db.nsq", CONTENT)
        container.upload_blob("db/with blank #é.nin", b"small")


@pytest.fixture
def granted(roles: AuthorizationManagementClient) -> Iterator[None]:
    with role_of_kubelet(roles):
        yield


@contextmanager
def role_of_kubelet(roles: AuthorizationManagementClient) -> Iterator[None]:
    scope, name = f"{account_id(DATA_ACCOUNT)}/blobServices/default/containers/blast-db", str(uuid.uuid4())
    roles.role_assignments.create(scope, name, role_grant(KUBELET["object_id"], READER))
    try:
        yield
    finally:
        roles.role_assignments.delete(scope, name)


def change_network(
    storage: StorageManagementClient, *, public: str, action: str, subnets: tuple[str, ...] = ()
) -> None:
    rules = [VirtualNetworkRule(virtual_network_resource_id=each, action="Allow") for each in subnets]
    storage.storage_accounts.update(
        "rg-storage",
        DATA_ACCOUNT,
        account_change(
            public_network_access=public,
            network_rule_set=NetworkRuleSet(default_action=action, virtual_network_rules=rules),
        ),
    )


@contextmanager
def a_node(
    azure: LaptopAzure, monkeypatch: pytest.MonkeyPatch, name: str = "db/db.nsq"
) -> Iterator[BlobClient]:
    """What a pod on node-1 has: the kubelet identity."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.identity}/nodes/node-1/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    with (
        ManagedIdentityCredential(client_id=KUBELET["client_id"]) as identity,
        blobs(azure, DATA_ACCOUNT, identity) as service,
    ):
        yield service.get_blob_client("blast-db", name)


def blobs(azure: LaptopAzure, account: str, identity: ManagedIdentityCredential) -> BlobServiceClient:
    return BlobServiceClient(
        f"{azure.blob}/{account}", credential=identity, connection_verify=str(azure.ca), retry_total=0
    )


def refusal(blob: BlobClient) -> tuple[int | None, str | None]:
    with pytest.raises(HttpResponseError) as refused:
        blob.download_blob()
    return refusal_of(refused.value)


def test_a_closed_account_is_closed_to_the_app_too(
    azure: LaptopAzure, app: ManagedIdentityCredential, storage: StorageManagementClient
) -> None:
    change_network(storage, public="Disabled", action="Deny")

    with blobs(azure, DATA_ACCOUNT, app) as service:
        assert refusal(service.get_blob_client("blast-db", "db/db.nsq")) == (403, "AuthorizationFailure")


@pytest.mark.usefixtures("opened")
def test_the_app_lists_and_reads_an_open_account(azure: LaptopAzure, app: ManagedIdentityCredential) -> None:
    with blobs(azure, DATA_ACCOUNT, app) as service:
        container = service.get_container_client("blast-db")
        assert [(each.name, each.size) for each in container.list_blobs(name_starts_with="db/")] == [
            ("db/db.nsq", len(CONTENT)),
            ("db/with blank #é.nin", 5),
        ]
        assert container.download_blob("db/db.nsq").readall() == CONTENT
        assert container.download_blob("db/with blank #é.nin").readall() == b"small"
        assert container.download_blob("db/db.nsq", offset=1000, length=7).readall() == CONTENT[1000:1007]


@pytest.mark.usefixtures("opened")
def test_a_reader_cannot_write(azure: LaptopAzure, app: ManagedIdentityCredential) -> None:
    with blobs(azure, DATA_ACCOUNT, app) as service, pytest.raises(HttpResponseError) as refused:
        service.get_blob_client("blast-db", "db/new").upload_blob(b"x" * MEBIBYTE)
    assert refusal_of(refused.value)[1] == "AuthorizationPermissionMismatch"


@pytest.mark.usefixtures("opened")
def test_a_node_reads_once_its_role_is_granted(
    azure: LaptopAzure, roles: AuthorizationManagementClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role_of_kubelet(roles), a_node(azure, monkeypatch) as blob:
        assert blob.download_blob().readall() == CONTENT
    with a_node(azure, monkeypatch) as blob:
        assert refusal(blob) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.usefixtures("opened")
def test_a_role_acts_only_after_its_delay(
    azure: LaptopAzure, roles: AuthorizationManagementClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.operate("PATCH", "/behaviour", {"role_delay_seconds": AN_HOUR})
    with role_of_kubelet(roles), a_node(azure, monkeypatch) as blob:
        assert refusal(blob) == (403, "AuthorizationPermissionMismatch")
    azure.operate("PATCH", "/behaviour", {"role_delay_seconds": 0.3})
    with role_of_kubelet(roles), a_node(azure, monkeypatch) as blob:
        assert becomes_readable(blob)


@pytest.mark.usefixtures("granted")
def test_an_opening_acts_only_after_its_delay(
    azure: LaptopAzure, storage: StorageManagementClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_network(storage, public="Disabled", action="Deny")
    with a_node(azure, monkeypatch) as blob:
        azure.operate("PATCH", "/behaviour", {"network_delay_seconds": AN_HOUR})
        change_network(storage, public="Enabled", action="Allow")
        assert refusal(blob) == (403, "AuthorizationFailure")
        azure.operate("PATCH", "/behaviour", {"network_delay_seconds": 0.3})
        change_network(storage, public="Enabled", action="Deny")
        change_network(storage, public="Enabled", action="Allow")
        assert becomes_readable(blob)


def becomes_readable(blob: BlobClient) -> bool:
    def is_readable() -> bool:
        try:
            return blob.download_blob(offset=0, length=10).readall() == CONTENT[:10]
        except HttpResponseError:
            return False

    return eventually(is_readable)


@pytest.mark.usefixtures("granted")
def test_a_rule_for_the_nodes_subnet_admits_nodes_and_not_the_app(
    azure: LaptopAzure,
    storage: StorageManagementClient,
    clusters: ContainerServiceClient,
    app: ManagedIdentityCredential,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subnet = clusters.managed_clusters.get("rg-blast", "blast_aks-1").agent_pool_profiles[0].vnet_subnet_id
    change_network(storage, public="Enabled", action="Deny", subnets=(subnet,))

    with blobs(azure, DATA_ACCOUNT, app) as service:
        assert refusal(service.get_blob_client("blast-db", "db/db.nsq")) == (403, "AuthorizationFailure")
    with a_node(azure, monkeypatch) as blob:
        assert blob.download_blob().readall() == CONTENT


def test_the_apps_own_account_serves_leases_and_conditions(
    azure: LaptopAzure, app: ManagedIdentityCredential
) -> None:
    with blobs(azure, APP_ACCOUNT, app) as service:
        container = service.create_container(f"warmup-{uuid.uuid4()}")
        ledger = container.get_blob_client("ledger.json")
        first = ledger.upload_blob(b"{}", overwrite=False)["etag"]
        with pytest.raises(ResourceExistsError):
            ledger.upload_blob(b"{}", overwrite=False)
        lease = ledger.acquire_lease(15)
        with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
            ledger.upload_blob(b"{1}", overwrite=True)
        conditions = {"etag": first, "match_condition": MatchConditions.IfNotModified}
        ledger.upload_blob(b"{2}", overwrite=True, lease=lease, **conditions)
        with pytest.raises(ResourceModifiedError):
            ledger.upload_blob(b"{3}", overwrite=True, lease=lease, **conditions)
        lease.release()
        assert ledger.download_blob().readall() == b"{2}"


def test_a_large_upload_passes_through_unread(azure: LaptopAzure, app: ManagedIdentityCredential) -> None:
    with blobs(azure, APP_ACCOUNT, app) as service:
        container = service.create_container(f"warmup-{uuid.uuid4()}")
        container.upload_blob("large", CONTENT)
        assert container.download_blob("large").readall() == CONTENT

    assert eventually(
        lambda: (
            sum(line["received_bytes"] for line in azure.log("blob") if line["path"].endswith("/large"))
            == len(CONTENT)
        )
    )


@pytest.mark.usefixtures("opened", "granted")
def test_the_log_says_who_read_what(azure: LaptopAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_node(azure, monkeypatch) as blob:
        blob.download_blob(offset=100, length=50).readall()

    path = "/warmdata/blast-db/db/db.nsq"
    read = {"caller": "node-1", "method": "GET", "path": path, "status": 206, "bytes": 50}
    assert azure.has_logged("blob", **read, range="bytes=100-149")


@pytest.mark.usefixtures("opened")
def test_keys_and_signatures_are_not_accepted(azure: LaptopAzure, operator: BlobServiceClient) -> None:
    key = operator.credential.account_key
    url = f"{azure.blob}/{DATA_ACCOUNT}"
    with BlobServiceClient(url, credential=key, connection_verify=str(azure.ca), retry_total=0) as service:
        blob = service.get_blob_client("blast-db", "db/db.nsq")
        assert refusal(blob) == (403, "KeyBasedAuthenticationNotPermitted")


def send(azure: LaptopAzure, request: bytes) -> bytes:
    host, port = azure.blob.removeprefix("https://").split(":")
    trust = ssl.create_default_context(cafile=str(azure.ca))
    with (
        socket.create_connection((host, int(port)), timeout=5) as raw,
        trust.wrap_socket(raw, server_hostname=host) as secure,
    ):
        secure.sendall(request)
        return secure.recv(65536)


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (b"GET /warmdata/blast-db/x HTTP/1.1\r\n", 401, b"NoAuthenticationInformation"),
        (
            b"GET /warmdata/blast-db/x HTTP/1.1\r\nAuthorization: Bearer a.b.c\r\n",
            401,
            b"InvalidAuthenticationInfo",
        ),
        (b"GET /warmdata/x?sig=abc HTTP/1.1\r\n", 403, b"KeyBasedAuthenticationNotPermitted"),
        (b"GET /nobody/blast-db/x HTTP/1.1\r\n", 404, b"ResourceNotFound"),
        (b"GET /warmapp/../warmdata/x HTTP/1.1\r\n", 400, b"InvalidUri"),
        (b"GET /warmapp/%2e%2e/warmdata/x HTTP/1.1\r\n", 400, b"InvalidUri"),
        (b"GET /<a>%ff/x HTTP/1.1\r\n", 404, b"&lt;a&gt;"),
        (b"GET //[ HTTP/1.1\r\n", 404, b"ResourceNotFound"),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n", 400, b"Bad Request"),
        (b"nonsense\r\n", 400, b"Bad Request"),
        (b"GET / HTTP/1.1\r\nno field\r\n", 400, b"Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n", 400, b"Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000 + b"\r\n", 400, b"Bad Request"),
    ],
)
def test_a_request_that_proves_nothing_is_refused_in_azures_words(
    azure: LaptopAzure, request_head: bytes, status: int, code: bytes
) -> None:
    answer = send(azure, request_head + b"Host: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert code in answer


@pytest.mark.usefixtures("opened", "granted")
def test_azcopy_copies_a_folder_with_the_nodes_identity(azure: LaptopAzure, tmp_path: Path) -> None:
    done = azcopy(azure, "node-3", f"{azure.blob}/{DATA_ACCOUNT}/blast-db/db/*", tmp_path)

    assert done.returncode == 0, done.stdout[-500:]
    assert (tmp_path / "db.nsq").read_bytes() == CONTENT
    assert (tmp_path / "with blank #é.nin").read_bytes() == b"small"
    ranges = [line for line in azure.log("blob") if line["caller"] == "node-3" and line["range"]]
    assert sum(line["bytes"] for line in ranges) == len(CONTENT) + len(b"small")
