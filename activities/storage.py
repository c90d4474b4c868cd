"""Hands on the storage account's network: open it for a run, close it after the last one."""

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from activities.claims import hold_on
from shared.domain import leases
from shared.domain.events import Change, Event, line_of
from shared.domain.model import Account
from shared.domain.phases import Phase
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Access, AccountQuery, OpeningOrder
from shared.ports import Accounts, Claims, LedgerPage, Ledgers, PassingError

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
    activity may outlive its run: one that has left the ledger, lost its databases or was asked to end opens
    nothing.
    """
    query = order.query
    account = accounts.find(query)
    if isinstance(account, Refusal):
        return account
    with ledgers.held(account) as page:
        known, hold = page.read(), hold_on(order.holdings, claims)
        may_not = hold.refusal or _too_late(query, known)
        if may_not is not None:
            return may_not
        found, now = accounts.network(account), clock()
        # Only what we are about to change is ours to write back, or what somebody changed who came too late:
        # what others do to an open account stays.
        ours = found if accounts.must_open(found) else known.if_late
        owner = leases.Owner(run_id=query.run_id, since=now, hub=hold.hub)
        ledger = leases.join(known, owner, found=ours)
        if not accounts.must_open(found):
            page.write(ledger)
        else:
            begun = leases.opening(ledger, query.run_id, now)
            refusal = _open(page, begun, account, found, accounts)
            if refusal is not None:
                return refusal
    before = ledger.before or found
    opened = accounts.must_open(before)  # also where an earlier try or another run did it
    if opened:
        _logger.info(line_of(_event(Change.ACCOUNT_OPENED, query, Phase.CONFIGURING.value)))
    return Access(account=account, before=before, would_open=opened, terms=accounts.terms)


def close_access(
    query: AccountQuery, *, accounts: Accounts, ledgers: Ledgers, clock: Clock
) -> tuple[str, ...]:
    """Leave the ledger; the last one out restores. Leaving twice, or never having joined, is no error.

    Gives the subnets that Azure did not let in again. The ledger says which account it is: one that cannot
    be found by its name any more may still be open.
    """
    kept = (book.account for book in ledgers.all() if book.account.name == query.name)
    account = next(kept, None) or accounts.find(query)
    if isinstance(account, Refusal):
        return ()  # without a ledger nobody ever opened it
    lost: tuple[str, ...] = ()
    is_kept = True
    with ledgers.held(account) as page:
        ledger = leases.leave(page.read(), {query.run_id}, clock())
        page.write(ledger)
        before = ledger.to_restore
        if before is not None:
            lost = accounts.restore(account, before)
            is_kept = _is_kept(page, leases.restored(ledger, lost))
            if is_kept and accounts.must_open(before):
                closed = replace(_event(Change.ACCOUNT_CLOSED, query), error=leases.told_of(lost))
                _logger.info(line_of(closed))
    if ledger.owners or not is_kept:
        _let_in(account, query.run_id, accounts=accounts, ledgers=ledgers, clock=clock)
    return lost


def settle_account(
    account: Account, dead: AbstractSet[leases.Owner], *, accounts: Accounts, ledgers: Ledgers, clock: Clock
) -> None:
    """Drop owners that are no more; the last one gone, restore what was before, also if it was opened late.

    Minutes may lie between the question who is dead and this, on a host that was frozen: who joined since
    stays.
    """
    with ledgers.held(account) as page:
        known, now = page.read(), clock()
        gone = leases.abandoned(known, dead, now)
        ledger = leases.leave(known, gone, now) if gone else known
        if gone:
            page.write(ledger)
            _logger.info("dropped abandoned owners: account=%s run_ids=%s", account.name, sorted(gone))
        remembered = ledger if ledger.owners else leases.without_forgotten_openings(ledger, now)
        if remembered != ledger:
            page.write(remembered)  # first: an account that is no more cannot be asked
            ledger = remembered
        before = ledger.to_restore or _opened_late(account, ledger, accounts)
        if before is None:
            return
        lost = accounts.restore(account, before, overdue=leases.is_overdue(ledger, now))
        kept = _is_kept(page, leases.restored(ledger, lost))
    if not kept:
        _let_in(account, "", accounts=accounts, ledgers=ledgers, clock=clock)
    elif accounts.must_open(before):
        _logger.info(line_of(_settled(account, ledger, lost)))


def _let_in(account: Account, by: str, *, accounts: Accounts, ledgers: Ledgers, clock: Clock) -> None:
    """Open it for whoever is in: one that lost the lease while it restored may have shut them out."""
    with ledgers.held(account) as page:
        ledger, found = page.read(), accounts.network(account)
        if ledger.owners and ledger.before is not None and accounts.must_open(found):
            _open(page, leases.opening(ledger, by, clock()), account, found, accounts)


def _open(
    page: LedgerPage, ledger: leases.Ledger, account: Account, found: leases.NetworkState, accounts: Accounts
) -> Refusal | None:
    """Open it, and say that it is done: whoever does not come as far as that is looked after by the janitor.

    Raises:
        PassingError: others were at the books meanwhile; the next try does it under a lease.
    """
    page.write(ledger)
    refusal = accounts.open(account, found)
    page.write(leases.opened(ledger))
    return refusal


def _opened_late(account: Account, ledger: leases.Ledger, accounts: Accounts) -> leases.NetworkState | None:
    """What it must become again: it is open for nobody, since somebody was frozen before the door."""
    if ledger.owners or not ledger.openings or accounts.must_open(accounts.network(account)):
        return None
    return ledger.if_late


def _is_kept(page: LedgerPage, ledger: leases.Ledger) -> bool:
    """Whether nobody else was at the books while ARM was asked: a host may be frozen for minutes there."""
    try:
        page.write(ledger)
    except PassingError:
        return False
    return True


def _too_late(query: AccountQuery, known: leases.Ledger) -> Refusal | None:
    if not known.knows_the_end_of(query.run_id):
        return None
    return Refusal(
        reason=Reason.CLAIM_LOST,
        message=f"run {query.run_id} is over: account {query.name!r} stays closed",
        remedy="start again",
    )


def _settled(account: Account, ledger: leases.Ledger, lost: tuple[str, ...]) -> Event:
    """Told of the run that left last: what opened an account and what closed it are one run's events."""
    last = ledger.departed[-1].run_id if ledger.departed else ""
    told = leases.told_of(lost)
    return Event(event=Change.ACCOUNT_CLOSED, instance_id=last, account=account.name, error=told)


def _event(change: Change, query: AccountQuery, phase: str = "") -> Event:
    return Event(
        event=change, instance_id=query.run_id, cluster=query.cluster, account=query.name, phase=phase
    )
