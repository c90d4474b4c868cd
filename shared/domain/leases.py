"""The access ledger of one storage account: who holds it open, and what it was like before.

Pure transitions. Whoever applies them holds the document's lease, writes the new document down before
the account is touched, and may repeat any of them: a crash between two lines loses nothing.

>>> closed = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
>>> ledger = join(Ledger(), "run-1", found=closed, now=datetime(2026, 5, 1))
>>> ledger.before == closed
True
>>> leave(ledger, {"run-1"}).owners
()
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# A run that has just joined may not be listed yet by the task hub; the janitor waits this long.
YOUNG = timedelta(minutes=2)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The document of one account; empty while nobody holds it."""

    owners: tuple[Owner, ...] = ()
    before: NetworkState | None = None  # kept until it has been restored

    @property
    def to_restore(self) -> NetworkState | None:
        """What the account must become again, once nobody holds it."""
        return None if self.owners else self.before


def join(ledger: Ledger, run_id: str, *, found: NetworkState, now: datetime) -> Ledger:
    """A run wants in; the first one writes down the state it found. One that comes back is young again."""
    others = leave(ledger, {run_id}).owners
    return Ledger(owners=(*others, Owner(run_id=run_id, since=now)), before=ledger.before or found)


def leave(ledger: Ledger, run_ids: AbstractSet[str]) -> Ledger:
    """Runs are over; `before` stays until the account is as it was."""
    return replace(ledger, owners=tuple(owner for owner in ledger.owners if owner.run_id not in run_ids))


def restored(ledger: Ledger) -> Ledger:
    """The account is as it was: nothing is owed to it any more."""
    return replace(ledger, before=None)


def abandoned(ledger: Ledger, dead: AbstractSet[str], now: datetime) -> frozenset[str]:
    """Owners that are known to be dead, other than those too young to tell."""
    old = (owner.run_id for owner in ledger.owners if now - owner.since > YOUNG)
    return frozenset(run_id for run_id in old if run_id in dead)
