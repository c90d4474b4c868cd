"""The port `Catalog`."""

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from azure.storage.blob import ContainerClient, ContentSettings, StandardBlobTier
from testkit.azure import LaptopAzure

from shared.adapters.azure_clients import AzureClients
from shared.adapters.blob_catalog import BlobCatalog
from shared.domain.model import Account, Database
from shared.domain.refusals import Reason, Refusal
from shared.domain.staging import Manifest, judge_staging
from shared.ports import FinalError, PassingError

FILES = {".nsq": b"ACGT" * 300, ".nin": b"index", ".nhr": b"headers"}


@pytest.fixture
def catalog(clients: AzureClients) -> BlobCatalog:
    return BlobCatalog(clients, "blast-db")


def put(container: ContainerClient, name: str, body: bytes) -> None:
    md5 = ContentSettings(content_md5=bytearray(hashlib.md5(body, usedforsecurity=False).digest()))
    container.upload_blob(name, body, overwrite=True, content_settings=md5)


def stage(container: ContainerClient, database: Database) -> None:
    for suffix, body in FILES.items():
        put(container, f"{database.path}{suffix}", body)


def named(name: str, folder: str = "") -> Database:
    return Database(name=name, folder=folder or name)


def test_a_listing_says_what_is_staged_and_what_is_said_of_it(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    database = named("listed")
    stage(staged, database)
    stage(staged, named("listed_more"))
    put(staged, "listed-metadata.json", b'{"source_version": "2026-05-26-01-05-01"}')
    put(staged, "listed/listed-nucl-metadata.json", b'{"files": []}')
    listing = catalog.listing(open_account, database)

    blobs = {blob.name: blob for blob in listing.blobs}
    sequences = blobs["listed/listed.nsq"]
    digest = hashlib.md5(FILES[".nsq"], usedforsecurity=False).digest()
    assert len(blobs) == 4
    assert (sequences.bytes, sequences.copy_pending) == (1200, False)
    assert sequences.md5 == base64.b64encode(digest).decode()
    assert sequences.etag.startswith('"')
    assert sequences.etag.endswith('"')
    assert listing.dashboard_metadata == {"source_version": "2026-05-26-01-05-01"}
    assert listing.ncbi_metadata == {"files": []}
    assert isinstance(judge_staging(listing), Manifest)


def test_an_etag_of_a_listing_is_good_for_a_conditional_read(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    stage(staged, named("tagged"))
    blob = catalog.listing(open_account, named("tagged")).blobs[0]

    assert staged.get_blob_client(blob.name).get_blob_properties().etag == blob.etag


def test_a_listing_of_many_pages_is_whole(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient, azure: LaptopAzure
) -> None:
    stage(staged, named("paged"))
    azure.fault(area="blob", kind="reset", path="restype=container&comp=list", count=1)

    assert len(catalog.listing(open_account, named("paged")).blobs) == 3


def test_an_absent_database_lists_nothing(
    catalog: BlobCatalog, open_account: Account, clients: AzureClients
) -> None:
    assert catalog.listing(open_account, named("absent")).blobs == ()
    assert BlobCatalog(clients, "no-such-container").listing(open_account, named("absent")).blobs == ()


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"\xff\xfe", b'{"a":' * 100_000, json.dumps({"a": "x" * (1 << 20)}).encode()]
)
def test_metadata_that_is_none_is_as_if_it_were_not_there(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient, text: bytes
) -> None:
    stage(staged, named("garbled"))
    put(staged, "garbled-metadata.json", text)

    assert catalog.listing(open_account, named("garbled")).dashboard_metadata is None


def test_a_custom_databases_metadata_lies_in_its_folder(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    mine = named("mine", "custom_db/mine")
    stage(staged, mine)
    put(staged, "custom_db/mine/mine-metadata.json", b'{"update_in_progress": true}')

    assert catalog.listing(open_account, mine).dashboard_metadata == {"update_in_progress": True}


def test_the_dashboard_sees_databases_and_no_scratch(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    for database in (named("shown"), named("own", "custom_db/own"), named("nt_euk", "nt")):
        stage(staged, database)
    put(staged, "half/half.nin", b"index")
    put(staged, "shown/taxdb.btd", b"taxa")
    for scratch in ("custom_db/.staging/own/input.fa", "custom-db-build/own/own.nsq", "2shards/a/a.nsq"):
        put(staged, scratch, b"scratch")
    entries = {entry.prefix: entry for entry in catalog.databases(open_account)}

    assert {"shown", "custom_db/own", "nt/nt_euk", "half"} <= entries.keys()
    assert not any("shards" in prefix or "build" in prefix or "staging" in prefix for prefix in entries)
    assert (entries["custom_db/own"].source, entries["shown"].source) == ("custom", "ncbi")
    assert (entries["shown"].file_count, entries["shown"].total_bytes) == (3, 1212)
    assert (entries["shown"].ready, entries["half"].ready) == (True, False)


@pytest.mark.usefixtures("staged")
def test_an_open_account_is_reachable(catalog: BlobCatalog, open_account: Account) -> None:
    assert catalog.probe(open_account).reachable


def test_a_closed_account_is_blocked(catalog: BlobCatalog, account: Account) -> None:
    probe = catalog.probe(account)

    assert probe.outcome == "blocked"
    assert "AuthorizationFailure" in probe.message


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "status", "status": 403, "code": "AuthorizationPermissionMismatch"}, "denied"),
        ({"kind": "status", "status": 503}, "network"),
        ({"kind": "reset"}, "network"),
    ],
)
def test_a_probe_tells_denied_from_closed_from_silent(
    azure: LaptopAzure, catalog: BlobCatalog, open_account: Account, fault: dict[str, object], outcome: str
) -> None:
    azure.fault(area="blob", **fault)

    assert catalog.probe(open_account).outcome == outcome


def test_a_container_that_is_not_there_is_not_found(clients: AzureClients, open_account: Account) -> None:
    assert BlobCatalog(clients, "no-such-container").probe(open_account).outcome == "not_found"


def test_an_endpoint_that_nobody_serves_is_a_matter_of_the_network(
    catalog: BlobCatalog, account: Account
) -> None:
    nowhere = replace(account, blob_endpoint="https://127.0.0.1:1/warmdata/")

    assert catalog.probe(nowhere).outcome == "network"


def test_a_throttled_listing_may_pass(
    azure: LaptopAzure, catalog: BlobCatalog, open_account: Account
) -> None:
    azure.fault(area="blob", kind="status", status=503)

    with pytest.raises(PassingError, match="listing blast-db/slow/"):
        catalog.listing(open_account, named("slow"))


def test_a_front_end_that_has_not_heard_of_an_opening_may_pass_and_is_no_matter_of_roles(
    catalog: BlobCatalog, account: Account
) -> None:
    with pytest.raises(PassingError, match=r"AuthorizationFailure.*let the app's network in") as told:
        catalog.listing(account, named("settling"))
    assert "Storage Blob Data Reader" not in str(told.value)


def test_the_list_of_a_closed_account_is_refused_with_the_network_to_blame(
    catalog: BlobCatalog, account: Account
) -> None:
    with pytest.raises(FinalError, match="let the app's network in") as told:
        catalog.databases(account)
    assert told.value.refusal.reason is Reason.STORAGE_BLOCKED
    assert "Storage Blob Data Reader" not in str(told.value)


@pytest.mark.parametrize("path", ["comp=list", "-metadata.json"])
def test_a_role_that_is_wanting_does_not_pass(
    azure: LaptopAzure, catalog: BlobCatalog, open_account: Account, path: str
) -> None:
    azure.fault(area="blob", kind="status", status=403, code="AuthorizationPermissionMismatch", path=path)

    with pytest.raises(FinalError, match="Storage Blob Data Reader") as told:
        catalog.listing(open_account, named("denied"))
    assert told.value.refusal.reason is Reason.ACCOUNT_FORBIDDEN


def test_metadata_behind_such_a_front_end_may_pass_too(
    azure: LaptopAzure, catalog: BlobCatalog, open_account: Account
) -> None:
    azure.fault(area="blob", kind="status", status=403, code="AuthorizationFailure", path="-metadata.json")

    with pytest.raises(PassingError, match="let the app's network in"):
        catalog.listing(open_account, named("settling"))


def test_files_in_the_archive_are_told_apart(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    database = named("archived")
    stage(staged, database)
    put(staged, "archived-metadata.json", b"{}")
    for name in ("archived/archived.nsq", "archived-metadata.json"):
        staged.get_blob_client(name).set_standard_blob_tier(StandardBlobTier.ARCHIVE)

    refusal = judge_staging(catalog.listing(open_account, database))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.DATABASE_ARCHIVED
    assert "1 of its files are in the Archive tier, 'archived/archived.nsq'" in refusal.message
    assert [entry.ready for entry in catalog.databases(open_account) if entry.name == "archived"] == [False]


def test_a_folder_that_is_listed_as_an_empty_blob_is_no_file(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    database = named("foldered")
    stage(staged, database)
    for name in ("foldered", "foldered/foldered.nsi", "foldered/sub"):
        staged.upload_blob(name, b"", metadata={"hdi_isfolder": "true"})
    listing = catalog.listing(open_account, database)

    assert {blob.name for blob in listing.blobs} == {f"foldered/foldered{suffix}" for suffix in FILES}
    assert isinstance(judge_staging(listing), Manifest)


def test_snapshots_are_not_listed_beside_their_blob(
    catalog: BlobCatalog, open_account: Account, staged: ContainerClient
) -> None:
    database = named("snapped")
    stage(staged, database)
    staged.get_blob_client("snapped/snapped.nsq").create_snapshot()

    assert len(catalog.listing(open_account, database).blobs) == len(FILES)
