"""Hands on the storage account's network: open it for a run, close it after the last one."""

import logging
from collections.abc import Callable
from datetime import datetime

from shared.domain import leases
from shared.domain.events import Change, Event, line_of
from shared.domain.phases import Phase
from shared.domain.refusals import Refusal
from shared.domain.runs import Access, AccountQuery
from shared.ports import Accounts, Ledgers

Clock = Callable[[], datetime]
_logger = logging.getLogger("warmup")


def inspect_access(query: AccountQuery, *, accounts: Accounts) -> Access | Refusal:
    """Find the account and say whether it is open, touching nothing."""
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return account
    found = accounts.network(account)
    return Access(account=account, before=found, would_open=accounts.must_open(found))


def open_access(
    query: AccountQuery, *, accounts: Accounts, ledgers: Ledgers, clock: Clock
) -> Access | Refusal:
    """Join the ledger, then open. The ledger knows a run that has joined, so repeating it is safe.

    What was found is written down before anything is opened: whoever closes can always restore it.
    """
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return account
    with ledgers.held(account) as page:
        found = accounts.network(account)
        ledger = leases.join(page.read(), query.run_id, found=found, now=clock())
        page.write(ledger)
        refusal = accounts.open(account, found)
        if refusal is not None:
            return refusal
    _logger.info(line_of(_event(Change.ACCOUNT_OPENED, query, Phase.CONFIGURING.value)))
    return Access(account=account, before=ledger.before or found)


def close_access(query: AccountQuery, *, accounts: Accounts, ledgers: Ledgers) -> bool:
    """Leave the ledger; the last one out restores. Leaving twice, or never having joined, is no error."""
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return False  # gone, and its ledger with it
    with ledgers.held(account) as page:
        ledger = leases.leave(page.read(), {query.run_id})
        page.write(ledger)
        before = ledger.to_restore
        if before is not None:
            accounts.restore(account, before)
            page.write(leases.restored(ledger))
            _logger.info(line_of(_event(Change.ACCOUNT_CLOSED, query)))
    return before is not None


def _event(change: Change, query: AccountQuery, phase: str = "") -> Event:
    return Event(
        event=change, instance_id=query.run_id, cluster=query.cluster, account=query.name, phase=phase
    )
