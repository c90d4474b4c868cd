"""Hands on the storage account's network: open it for a run, close it after the last one."""

import logging
from collections.abc import Callable
from datetime import datetime

from shared.domain import leases
from shared.domain.events import Change, Event, line_of
from shared.domain.phases import Phase
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Access, AccountQuery, Holdings, OpeningOrder
from shared.ports import Accounts, Claims, Ledgers

Clock = Callable[[], datetime]
_logger = logging.getLogger("warmup")


def inspect_access(query: AccountQuery, *, accounts: Accounts) -> Access | Refusal:
    """Find the account and say whether it is open, touching nothing."""
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return account
    found = accounts.network(account)
    return Access(account=account, before=found, would_open=accounts.must_open(found), terms=accounts.terms)


def open_access(
    order: OpeningOrder, *, accounts: Accounts, ledgers: Ledgers, claims: Claims, clock: Clock
) -> Access | Refusal:
    """Join the ledger, then open. The ledger knows a run that has joined, so repeating it is safe.

    What was found is written down before anything is opened: whoever closes can always restore it. An
    activity may outlive its run: one that has left the ledger, or lost its databases, opens nothing.
    """
    query = order.query
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return account
    with ledgers.held(account) as page:
        known, hub = page.read(), _hub_of(order.holdings, claims)
        if known.knows_the_end_of(query.run_id) or hub is None:
            return _too_late(query)
        found = accounts.network(account)
        owner = leases.Owner(run_id=query.run_id, since=clock(), hub=hub)
        ledger = leases.join(known, owner, found=found)
        page.write(ledger)
        refusal = accounts.open(account, found)
        if refusal is not None:
            return refusal
    before = ledger.before or found
    if accounts.must_open(before):  # open it is now, also where an earlier try or another run did it
        _logger.info(line_of(_event(Change.ACCOUNT_OPENED, query, Phase.CONFIGURING.value)))
    return Access(account=account, before=before, terms=accounts.terms)


def close_access(query: AccountQuery, *, accounts: Accounts, ledgers: Ledgers, clock: Clock) -> bool:
    """Leave the ledger; the last one out restores. Leaving twice, or never having joined, is no error.

    The ledger says which account it is: one that cannot be found by its name any more may still be open.
    """
    kept = (book.account for book in ledgers.all() if book.account.name == query.name)
    account = next(kept, None) or accounts.find(query)
    if isinstance(account, Refusal):
        return False  # without a ledger nobody ever opened it
    with ledgers.held(account) as page:
        ledger = leases.leave(page.read(), {query.run_id}, clock())
        page.write(ledger)
        before = ledger.to_restore
        if before is not None:
            accounts.restore(account, before)
            page.write(leases.restored(ledger))
            if accounts.must_open(before):
                _logger.info(line_of(_event(Change.ACCOUNT_CLOSED, query)))
    return before is not None


def _hub_of(holdings: Holdings, claims: Claims) -> str | None:
    """The task hub that answers for a run, as its claims say; None where it no longer holds them all."""
    held = [claims.read(holdings.cluster, database) for database in holdings.databases]
    ours = [claim.hub for claim in held if claim is not None and claim.run_id == holdings.run_id]
    return ours[0] if len(ours) == len(held) else None


def _too_late(query: AccountQuery) -> Refusal:
    return Refusal(
        reason=Reason.CLAIM_LOST,
        message=f"run {query.run_id} is over, or no longer holds its databases: {query.name!r} stays closed",
        remedy="start again, unless another run warms them now",
    )


def _event(change: Change, query: AccountQuery, phase: str = "") -> Event:
    return Event(
        event=change, instance_id=query.run_id, cluster=query.cluster, account=query.name, phase=phase
    )
