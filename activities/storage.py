"""Hands on the storage account's network: open it for a run, close it after the last one."""

import logging
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from activities.claims import hold_on
from shared.domain import leases
from shared.domain.events import Change, Event, line_of
from shared.domain.model import Account
from shared.domain.phases import Phase
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import Access, AccountQuery, OpeningOrder
from shared.ports import Accounts, Claims, FinalError, LedgerPage, Ledgers, PassingError

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
    books = _Books(account, accounts, ledgers, clock)
    with books.held() as page:
        known, hold = page.read(), hold_on(order.holdings, claims)
        may_not = hold.refusal or _too_late(query, known)
        if may_not is not None:
            return may_not
        found, now = accounts.network(account), clock()
        owner = leases.Owner(run_id=query.run_id, since=now, hub=hold.hub)
        if accounts.must_open(found):
            ledger = leases.join(leases.without_forgotten(known, now), owner, found=found)
            refusal = books.open(page, ledger, found)
            if refusal is not None:
                return refusal
        else:
            # What others do to an open account stays, but for what somebody did who came too late.
            ledger = leases.join(known, owner, found=known.if_late)
            page.write(ledger)
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
    account = ledgers.account(query.name) or accounts.find(query)
    if isinstance(account, Refusal):
        return ()  # without a ledger nobody ever opened it
    books = _Books(account, accounts, ledgers, clock)
    lost: tuple[str, ...] = ()
    try:
        with books.held() as page:
            now = clock()
            ledger = leases.leave(page.read(), {query.run_id}, now)
            page.write(ledger)
            before = ledger.to_restore
            if before is not None:
                lost = books.restore(page, ledger, before, overdue=leases.is_overdue(ledger, now))
                if accounts.must_open(before):
                    closed = replace(_event(Change.ACCOUNT_CLOSED, query), error=leases.told_of(lost))
                    _logger.info(line_of(closed))
    except _UntoldError as untold:
        if untold.lost is None:
            raise
        return untold.lost
    return lost


def settle_account(
    account: Account, dead: AbstractSet[leases.Owner], *, accounts: Accounts, ledgers: Ledgers, clock: Clock
) -> None:
    """Drop owners that are no more; the last one gone, restore what was before, also if it was opened late.

    Where a closing may have come late, whoever is in is let in again. Minutes may lie between the question
    who is dead and this, on a host that was frozen: who joined since stays.
    """
    books = _Books(account, accounts, ledgers, clock)
    try:
        with books.held() as page:
            known, now = page.read(), clock()
            gone = leases.abandoned(known, dead, now)
            ledger = leases.leave(known, gone, now) if gone else known
            if gone:
                page.write(ledger)
                _logger.info("dropped abandoned owners: account=%s run_ids=%s", account.name, sorted(gone))
            before = ledger.to_restore or books.opened_late(page, ledger)
            if before is not None:
                lost = books.restore(page, ledger, before, overdue=leases.is_overdue(ledger, now))
                if accounts.must_open(before):
                    _logger.info(line_of(_settled(account, ledger, lost)))
    except _UntoldError as untold:
        if untold.lost is None:
            raise
    else:
        if leases.may_shut_out(ledger, now):
            books.let_in()


class _UntoldError(PassingError):
    """The ledger could not be told what came of asking ARM: others may be at it, and act meanwhile."""

    def __init__(
        self,
        begun: leases.Attempt,
        found: leases.NetworkState | None = None,
        lost: tuple[str, ...] | None = None,
    ) -> None:
        """Carry what was begun; of an opening what it found; what is lost, where the account was restored."""
        super().__init__("others were at the ledger while ARM was asked; the next try looks again")
        self.begun = begun
        self.found = found
        self.lost = lost


@dataclass(frozen=True, slots=True)
class _Books:
    """One account's ledger and network: what is changed is written down before, and after.

    Whoever does not come as far as the second line is looked after by the janitor.
    """

    account: Account
    accounts: Accounts
    ledgers: Ledgers
    clock: Clock

    @contextmanager
    def held(self) -> Iterator[LedgerPage]:
        """Hold the ledger; what it could not be told is seen to once it was given back.

        A host may have been frozen over it: others may have forgotten what it began, or be shut out.
        """
        try:
            with self.ledgers.held(self.account) as page:
                yield page
        except _UntoldError as untold:
            self._tell_late(untold)
            raise

    def _tell_late(self, untold: _UntoldError) -> None:
        begun = untold.begun if untold.begun.failed_at else replace(untold.begun, at=self.clock())
        with self.ledgers.held(self.account) as page:
            ledger = page.read()
            if untold.found is not None:
                page.write(leases.told_late(ledger, begun, untold.found))
                return
            page.write(leases.closing(ledger, begun))
        try:
            self.let_in()
        except (PassingError, FinalError):
            _logger.exception("runs may be shut out until the janitor comes: account=%s", self.account.name)

    def open(self, page: LedgerPage, ledger: leases.Ledger, found: leases.NetworkState) -> Refusal | None:
        """Open it; what it must become again has been found, and is in the ledger."""
        assert ledger.before is not None  # what is opened is written down first
        begun, before = leases.Attempt(at=self.clock()), ledger.before
        page.write(leases.opening(ledger, begun, before))
        try:
            refusal = self.accounts.open(self.account, found)
        except PassingError:
            begun = replace(begun, failed_at=self.clock())
            _tell(page, leases.opening(ledger, begun, before), _UntoldError(begun, before))
            raise
        _tell(page, leases.opened(ledger, before), _UntoldError(begun, before))
        return refusal

    def restore(
        self, page: LedgerPage, ledger: leases.Ledger, before: leases.NetworkState, *, overdue: bool = False
    ) -> tuple[str, ...]:
        """Make it as it was; gives the subnets that Azure did not let in again."""
        ledger, begun = replace(ledger, before=before), leases.Attempt(at=self.clock())
        page.write(leases.closing(ledger, begun))  # owed from here on, should it be done by halves
        try:
            lost = self.accounts.restore(self.account, before, overdue=overdue)
        except PassingError:
            begun = replace(begun, failed_at=self.clock())
            _tell(page, leases.closing(ledger, begun), _UntoldError(begun))
            raise
        _tell(page, leases.restored(ledger, lost), _UntoldError(begun, lost=lost))
        return lost

    def let_in(self) -> None:
        """Open it for whoever is in: one that lost the lease while it restored may have shut them out."""
        with self.held() as page:
            ledger = page.read()
            if not ledger.owners:
                return
            found = self.accounts.network(self.account)
            if self.accounts.must_open(found):
                _logger.warning("opening for runs that were shut out: account=%s", self.account.name)
                refusal = self.open(page, replace(ledger, before=ledger.before or found), found)
                if refusal is not None:
                    _logger.error("they stay shut out: account=%s %s", self.account.name, refusal.sentence)

    def opened_late(self, page: LedgerPage, ledger: leases.Ledger) -> leases.NetworkState | None:
        """What it must become again: it is open for nobody, since somebody was frozen before the door.

        What is long over is forgotten, but only once the account was seen to be closed, or to be no more.
        """
        late = None if ledger.owners else ledger.if_late
        if late is not None and not self._is_closed(late):
            return late
        remembered = leases.without_forgotten(ledger, self.clock())
        if remembered != ledger:
            page.write(remembered)
        return None

    def _is_closed(self, before: leases.NetworkState) -> bool:
        try:
            found = self.accounts.network(self.account)
        except FinalError as gone:
            if gone.refusal.reason is not Reason.ACCOUNT_NOT_FOUND:
                raise
            return True
        return found == before or self.accounts.must_open(found)


def _tell(page: LedgerPage, ledger: leases.Ledger, untold: _UntoldError) -> None:
    try:
        page.write(ledger)
    except PassingError as lost:
        raise untold from lost


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
