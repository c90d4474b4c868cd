"""The port `Ledgers`."""

from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from azure.storage.blob import BlobLeaseClient, ContainerClient
from testkit.azure import LaptopAzure

from shared.adapters.documents import Documents
from shared.adapters.ledger import BlobLedgers
from shared.adapters.small_blobs import MAX_BYTES
from shared.domain.leases import AccountLedger, Attempt, Ledger, NetworkState, Owner
from shared.domain.model import Account
from shared.ports import PassingError

ACCOUNT = Account(
    resource_id="/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
    name="a",
    blob_endpoint="https://a.blob.core.windows.net/",
)
SINCE = datetime(2026, 5, 1, tzinfo=UTC)
FOUND = NetworkState(
    public_network_access="Disabled", default_action="Deny", rules='{"ipRules": [{"value": "1.2.3.4"}]}'
)
LEDGER = Ledger(
    owners=(Owner(run_id="run-1", since=SINCE),),
    before=FOUND,
    openings=(Attempt(at=SINCE), Attempt(at=SINCE, failed_at=SINCE)),
    found=FOUND,
    closings=(Attempt(at=SINCE),),
)
AT_ONCE = timedelta(seconds=0)


def test_an_account_that_nobody_ever_held_has_an_empty_ledger(documents: Documents) -> None:
    ledgers = BlobLedgers(documents)
    assert ledgers.all() == ()

    with ledgers.held(ACCOUNT) as page:
        assert page.read() == Ledger()
    assert ledgers.all() == (AccountLedger(account=ACCOUNT, ledger=Ledger()),)


def test_what_is_written_is_read_by_the_next_holder(documents: Documents) -> None:
    ledgers = BlobLedgers(documents)
    with ledgers.held(ACCOUNT) as page:
        page.write(LEDGER)

    with ledgers.held(ACCOUNT) as page:
        assert page.read() == LEDGER


def test_all_ledgers_are_read_while_one_is_held(documents: Documents) -> None:
    ledgers = BlobLedgers(documents, patience=AT_ONCE)
    with ledgers.held(ACCOUNT) as page:
        page.write(LEDGER)
        assert ledgers.all() == (AccountLedger(account=ACCOUNT, ledger=LEDGER),)


def test_a_second_holder_is_kept_out(documents: Documents) -> None:
    with BlobLedgers(documents).held(ACCOUNT), pytest.raises(PassingError, match="to lease"):
        BlobLedgers(documents, patience=AT_ONCE).held(ACCOUNT).__enter__()


def test_a_second_holder_waits_though_the_lease_is_named_before_the_document(
    azure: LaptopAzure, documents: Documents
) -> None:
    ledgers = BlobLedgers(documents)
    with ledgers.held(ACCOUNT) as page:
        page.write(LEDGER)
    azure.fault(
        area="blob",
        kind="status",
        method="PUT",
        path="ledgers/a.json",
        status=412,
        code="LeaseIdMissing",
        count=1,
    )

    with ledgers.held(ACCOUNT) as page:
        assert page.read() == LEDGER


def test_a_second_holder_waits_for_the_first(documents: Documents) -> None:
    ledgers = BlobLedgers(documents)
    holding, done = Event(), Event()

    def first() -> None:
        with ledgers.held(ACCOUNT) as page:
            holding.set()
            page.write(LEDGER)
            done.wait(timeout=0.2)

    holder = Thread(target=first)
    holder.start()
    holding.wait()
    with ledgers.held(ACCOUNT) as page:
        seen = page.read()
    holder.join()
    assert seen == LEDGER


def test_whoever_lost_the_lease_cannot_write_any_more(documents: Documents, writer: ContainerClient) -> None:
    ledgers = BlobLedgers(documents)
    with ledgers.held(ACCOUNT) as page:
        BlobLeaseClient(writer.get_blob_client("ledgers/a.json")).break_lease(lease_break_period=0)
        with pytest.raises(PassingError, match="to write"):
            page.write(LEDGER)


def test_the_lease_is_given_back_after_a_failure(documents: Documents) -> None:
    ledgers = BlobLedgers(documents, patience=AT_ONCE)
    with pytest.raises(ZeroDivisionError), ledgers.held(ACCOUNT):
        raise ZeroDivisionError

    with ledgers.held(ACCOUNT) as page:
        assert page.read() == Ledger()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"account": {}}', b"\xff"])
def test_a_corrupt_ledger_is_set_aside_and_begun_anew(
    documents: Documents, writer: ContainerClient, text: bytes
) -> None:
    ledgers = BlobLedgers(documents)
    with ledgers.held(ACCOUNT):
        pass
    writer.upload_blob("ledgers/a.json", text, overwrite=True)

    with ledgers.held(ACCOUNT) as page:
        assert page.read() == Ledger()
        page.write(LEDGER)
    with ledgers.held(ACCOUNT) as page:
        assert page.read() == LEDGER
    aside = [name for name in writer.list_blob_names() if name.startswith("corrupt/ledgers/a.json.")]
    assert [writer.download_blob(name).readall() for name in aside] == [text]


def test_a_ledger_that_is_too_large_keeps_no_other_account_open(
    documents: Documents, writer: ContainerClient
) -> None:
    ledgers = BlobLedgers(documents)
    with ledgers.held(ACCOUNT) as page:
        page.write(LEDGER)
    writer.upload_blob("ledgers/another.json", b" " * (MAX_BYTES + 1))

    assert [book.account for book in ledgers.all()] == [ACCOUNT]


def test_an_account_is_known_by_its_ledger_alone(documents: Documents) -> None:
    ledgers = BlobLedgers(documents)
    assert ledgers.account(ACCOUNT.name) is None
    with ledgers.held(ACCOUNT):
        pass

    assert ledgers.account(ACCOUNT.name) == ACCOUNT
