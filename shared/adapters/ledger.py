"""Access ledgers: one document per storage account, written by one holder at a time.

The holder has the blob's lease, renewed for as long as it holds it; every write names the lease, so
that one who has lost it cannot write any more.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from azure.storage.blob import BlobLeaseClient

from shared.adapters.documents import Documents
from shared.adapters.errors import SDK_ERRORS
from shared.domain.leases import AccountLedger, Ledger
from shared.domain.model import Account
from shared.ports import FinalError, LedgerPage, PassingError

_logger = logging.getLogger(__name__)

_FOLDER = "ledgers/"
_LEASE_SECONDS = 60  # the longest there is; a killed holder keeps others out for no more
_RENEWAL_SECONDS = 20  # two renewals may fail before the lease ends
PATIENCE = timedelta(seconds=30)  # a change of an account's network takes seconds
_RETRY_SECONDS = 0.5


class BlobLedgers:
    """The port `Ledgers`."""

    def __init__(self, documents: Documents, patience: timedelta = PATIENCE) -> None:
        """Keep how long another holder is waited for."""
        self._documents = documents
        self._patience = patience

    @contextmanager
    def held(self, account: Account) -> Iterator[LedgerPage]:
        """Take the lease, making the document if there is none, and renew it until the end."""
        name = _name(account.name)
        self._documents.create(name, AccountLedger(account=account, ledger=Ledger()))
        lease = self._lease(name)
        try:
            with _renewed(lease):
                yield _Page(self._documents, account, lease)
        finally:
            _give_back(lease, name)

    def account(self, name: str) -> Account | None:
        """Read its document, and nothing of any other."""
        found = self._documents.read(_name(name), AccountLedger)
        return None if found is None else found.value.account

    def all(self) -> tuple[AccountLedger, ...]:
        """Read every document; its lease is left to those who change something."""
        return tuple(book for name in self._documents.names(_FOLDER) for book in self._read(name))

    def _read(self, name: str) -> list[AccountLedger]:
        """One that cannot be read keeps no other account from being closed."""
        try:
            found = self._documents.read(name, AccountLedger)
        except FinalError as unfit:
            _logger.error("account may still be open: %s", unfit)  # noqa: TRY400 - the cause says it all
            return []
        return [] if found is None else [found.value]

    def _lease(self, name: str) -> BlobLeaseClient:
        give_up = time.monotonic() + self._patience.total_seconds()
        while True:
            try:
                return self._documents.lease(name, _LEASE_SECONDS)
            except PassingError:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(_RETRY_SECONDS)


class _Page:
    """The port `LedgerPage`."""

    def __init__(self, documents: Documents, account: Account, lease: BlobLeaseClient) -> None:
        self._documents = documents
        self._account = account
        self._lease = lease

    def read(self) -> Ledger:
        """What it says; one that could not be read was set aside and is begun anew."""
        name = _name(self._account.name)
        found = self._documents.read(name, AccountLedger, held=True)
        return Ledger() if found is None else found.value.ledger

    def write(self, ledger: Ledger) -> None:
        """Write under the lease, or fail."""
        document = AccountLedger(account=self._account, ledger=ledger)
        self._documents.replace_held(_name(self._account.name), document, self._lease)


@contextmanager
def _renewed(lease: BlobLeaseClient) -> Iterator[None]:
    over = Event()
    renewal = Thread(target=_renew, args=(lease, over), name="ledger-lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()


def _renew(lease: BlobLeaseClient, over: Event) -> None:
    while not over.wait(_RENEWAL_SECONDS):
        try:
            lease.renew()
        except SDK_ERRORS as error:
            # The next write says so, if it was lost: it names the lease.
            _logger.warning("ledger lease was not renewed: cause=%s", type(error).__name__)


def _give_back(lease: BlobLeaseClient, name: str) -> None:
    try:
        lease.release()
    except SDK_ERRORS as error:
        # It ends by itself within a minute; others wait no longer than that.
        _logger.warning("ledger lease was not released: blob=%s cause=%s", name, type(error).__name__)


def _name(account: str) -> str:
    return f"{_FOLDER}{account}.json"  # accounts' names are global
