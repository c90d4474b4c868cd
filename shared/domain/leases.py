"""The access ledger of one storage account: who holds it open, and what it was like before.

Pure transitions. Whoever applies them holds the document's lease, writes the new document down before
the account is touched, and may repeat any of them: a crash between two lines loses nothing.

>>> closed = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
>>> ledger = join(Ledger(), Owner(run_id="run-1", since=datetime(2026, 5, 1)), found=closed)
>>> ledger.before == closed
True
>>> left = leave(ledger, {"run-1"}, datetime(2026, 5, 1))
>>> left.owners, left.knows_the_end_of("run-1")
((), True)
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.model import Account

# A run that has just joined may not be listed yet by the task hub; the janitor waits this long.
YOUNG = timedelta(minutes=2)
# An activity may run when its run is over: minutes late after a lost host, hours on one that was frozen.
REMEMBERED_FOR = timedelta(hours=12)
# An opening or a closing may come late for the same reasons: so long the account is looked at each minute.
LATE_FOR = timedelta(hours=1)
# One whose host was told that it failed: only ARM itself may still act, on a try that it did not answer.
ARM_LATE_FOR = timedelta(minutes=10)
# Whoever holds the ledger mostly gives it back sooner, or has died; one that has not is waited for.
DOUBTFUL_AFTER = timedelta(minutes=1)
# What holds a restoring up, such as a subnet in change, mostly passes sooner; nobody may come in for longer.
OVERDUE = timedelta(minutes=3)
MAX_REMEMBERED = 200  # the newest; a run lasts minutes at least, so that these are many hours
MAX_TOLD = 3  # subnets, in a sentence; their ids are long


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """Who may reach an account: what opening changes, kept as found so that it is restored exactly."""

    public_network_access: str  # Enabled | Disabled
    default_action: str  # Allow | Deny
    rules: str  # the whole networkAcls as ARM's JSON, order kept

    @property
    def is_public(self) -> bool:
        """Whether whoever has a role gets in from anywhere."""
        return self.public_network_access == "Enabled" and self.default_action == "Allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A run that holds the account."""

    run_id: str
    since: datetime
    hub: str = ""  # the task hub that answers for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed:
    """A run that has left for good."""

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody is about to open the account, or to close it, and may be frozen there meanwhile."""

    at: datetime
    failed_at: datetime | None = None  # when its host was told so


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The document of one account."""

    owners: tuple[Owner, ...] = ()
    before: NetworkState | None = None  # kept until it has been restored
    departed: tuple[Departed, ...] = ()  # the latest last; none of them may come back
    lost: tuple[str, ...] = ()  # subnets whose rules Azure did not take back, until they are there again
    openings: tuple[Attempt, ...] = ()  # of which nobody has said yet that they are done
    found: NetworkState | None = None  # what the account was like before the last opening
    closings: tuple[Attempt, ...] = ()  # of which nobody has said yet that they are done

    @property
    def is_settled(self) -> bool:
        """Whether nobody is in, and nothing is owed to the account nor may open it yet."""
        return not (self.owners or self.before or self.openings)

    @property
    def if_late(self) -> NetworkState | None:
        """What the account must become again, should an opening have come late."""
        return self.found if self.openings else None

    @property
    def to_restore(self) -> NetworkState | None:
        """What the account must become again, once nobody holds it."""
        return None if self.owners else self.before

    def knows_the_end_of(self, run_id: str) -> bool:
        """Whether a run has left: what it still asks for comes too late."""
        return any(gone.run_id == run_id for gone in self.departed)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLedger:
    """The document as it is kept: it names its account, so that whoever restores needs nothing else."""

    account: Account
    ledger: Ledger


def join(ledger: Ledger, owner: Owner, *, found: NetworkState | None) -> Ledger:
    """A run wants in; the first one that must open writes down the state it found, others find none.

    One that comes back is young again.
    """
    others = _others(ledger, {owner.run_id})
    return replace(ledger, owners=(*others, owner), before=ledger.before or found)


def opening(ledger: Ledger, begun: Attempt, found: NetworkState | None) -> Ledger:
    """Written down before the account is opened, and kept by all others until that is done."""
    return replace(ledger, openings=(*ledger.openings, begun)[-MAX_REMEMBERED:], found=found)


def opened(ledger: Ledger, found: NetworkState | None) -> Ledger:
    """One is done, of which this ledger knows nothing yet; the others go back to what it found, too."""
    return replace(ledger, found=found if ledger.openings else None)


def told_late(ledger: Ledger, begun: Attempt, found: NetworkState) -> Ledger:
    """An opening whose host comes back when others may have waited in vain, and forgotten it."""
    known = replace(ledger, openings=tuple(each for each in ledger.openings if each.at != begun.at))
    return opening(known, begun, ledger.if_late or found)


def closing(ledger: Ledger, begun: Attempt) -> Ledger:
    """Written down before the account is restored, which may come late and shut out who joined meanwhile."""
    return replace(ledger, closings=(*ledger.closings, begun)[-MAX_REMEMBERED:])


def may_shut_out(ledger: Ledger, now: datetime) -> bool:
    """Whether a closing may come under those who are in; whoever holds the ledger is not its host."""
    return bool(ledger.owners) and any(not _has_failed_for_good(each, now) for each in ledger.closings)


def is_to_settle(ledger: Ledger, dead: AbstractSet[Owner], now: datetime) -> bool:
    """Whether the janitor must hold it: something is owed to the account, or to those who are in.

    A closing is in doubt once its host may be dead.
    """
    nobody_is_in = not ledger.owners and not ledger.is_settled
    old = any(now - each.at >= DOUBTFUL_AFTER for each in ledger.closings)
    return nobody_is_in or (old and may_shut_out(ledger, now)) or bool(abandoned(ledger, dead, now))


def without_forgotten(ledger: Ledger, now: datetime) -> Ledger:
    """Whoever has not opened or closed by now died on the way; openings are waited for while runs are in."""
    left_at = max((gone.at for gone in ledger.departed), default=now - LATE_FOR)

    def may_come(each: Attempt, since: datetime) -> bool:
        return not _has_failed_for_good(each, now) and now - max(each.at, since) < LATE_FOR

    openings = tuple(each for each in ledger.openings if may_come(each, now if ledger.owners else left_at))
    closings = tuple(each for each in ledger.closings if may_come(each, each.at))
    return replace(ledger, openings=openings, found=ledger.found if openings else None, closings=closings)


def leave(ledger: Ledger, run_ids: AbstractSet[str], now: datetime) -> Ledger:
    """Runs are over, and remembered for a while; `before` stays until the account is as it was.

    One that leaves again, since the account could not be restored, left when it did so first.
    """
    known = tuple(gone for gone in ledger.departed if now - gone.at < REMEMBERED_FOR)
    new = run_ids - {gone.run_id for gone in known}
    departed = (*known, *(Departed(run_id=run_id, at=now) for run_id in sorted(new)))
    return replace(ledger, owners=_others(ledger, run_ids), departed=departed[-MAX_REMEMBERED:])


def is_overdue(ledger: Ledger, now: datetime) -> bool:
    """Whether it should have been restored by now: the last run left it a while ago."""
    return not ledger.owners and bool(ledger.departed) and now - ledger.departed[-1].at >= OVERDUE


def restored(ledger: Ledger, lost: tuple[str, ...] = ()) -> Ledger:
    """The account is as it was, but for lost rules: nothing else is owed to it any more."""
    rules = ledger.before.rules if ledger.before else ""
    still = tuple(subnet for subnet in ledger.lost if subnet not in rules)
    return replace(ledger, before=None, lost=tuple(dict.fromkeys((*still, *lost)))[-MAX_REMEMBERED:])


def told_of(lost: tuple[str, ...]) -> str:
    """What an operator should know of rules that could not be written back; empty without any."""
    if not lost:
        return ""
    subnets = ", ".join(lost[:MAX_TOLD]) + (f" and {len(lost) - MAX_TOLD} more" * (len(lost) > MAX_TOLD))
    return (
        f"rules for these subnets could not be written back, add them again where they are wanted: {subnets}"
    )


def abandoned(ledger: Ledger, dead: AbstractSet[Owner], now: datetime) -> frozenset[str]:
    """Owners that are known to be dead, other than those too young to tell, or come back since."""
    return frozenset(each.run_id for each in ledger.owners if each in dead and now - each.since > YOUNG)


def _has_failed_for_good(each: Attempt, now: datetime) -> bool:
    return each.failed_at is not None and now - each.failed_at >= ARM_LATE_FOR


def _others(ledger: Ledger, run_ids: AbstractSet[str]) -> tuple[Owner, ...]:
    return tuple(owner for owner in ledger.owners if owner.run_id not in run_ids)
