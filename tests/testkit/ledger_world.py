"""One storage account and its access ledger: what the hands need of both, on hosts that die and freeze."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from testkit.builders import ACCOUNT, CLUSTER, DATABASE, SUBSCRIPTION, claim
from testkit.memory_ports import MemoryClaims, Stage

from activities.storage import close_access, open_access, settle_account
from shared.domain.leases import LATE_FOR, AccountLedger, Ledger, NetworkState, Owner, is_to_settle
from shared.domain.model import AccessTerms, Account
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery, Holdings, OpeningOrder
from shared.ports import FinalError, PassingError

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RULES = '{"ipRules":[{"value":"192.0.2.7"}],"virtualNetworkRules":[]}'
FOUND = NetworkState(public_network_access="Disabled", default_action="Deny", rules=RULES)
OPENED = NetworkState(public_network_access="Enabled", default_action="Allow", rules=RULES)
RUNS = ("run1", "run2", "run3")
NEVER = 99  # a step that no operation reaches


def holdings(run_id: str) -> Holdings:
    return Holdings(cluster=CLUSTER, databases=(replace(DATABASE, name=run_id),), run_id=run_id)


def claims_of(*run_ids: str) -> MemoryClaims:
    """Each of these runs holds a database of its own."""
    claims = MemoryClaims(Stage(Path()))
    for run_id in run_ids:
        assert claims.take(claim(run_id, *holdings(run_id).databases), over=None)
    return claims


def owner(run_id: str, since: datetime) -> Owner:
    return Owner(run_id=run_id, since=since)


class CrashError(Exception):
    """The host dies here."""


@dataclass(frozen=True)
class Page:
    """The ledger under one lease."""

    world: "World"
    lease: int

    def read(self) -> Ledger:
        return self.world.ledger

    def write(self, ledger: Ledger) -> None:
        if self.lease != self.world.leases:
            raise PassingError("the lease was lost")
        self.world.writes_left -= 1
        if self.world.writes_left == -1:
            raise PassingError("ServerBusy")
        self.world.write(ledger)


@dataclass
class World:
    """An account and its ledger; what the hands need of both, and a host that may die at any effect."""

    terms: ClassVar[AccessTerms] = AccessTerms()
    network_state: NetworkState = FOUND
    ledger: Ledger = field(default_factory=Ledger)
    now: datetime = NOON
    effects_left: int = NEVER
    left: set[str] = field(default_factory=set)  # who has left for good, as the ledger was told
    claims: MemoryClaims = field(default_factory=lambda: claims_of(*RUNS))
    meanwhile: Callable[[], object] | None = None  # what others do once the lease is lost, before ARM acts
    thawed: Exception | None = None  # what becomes of one that was frozen, once ARM has acted
    leases: int = 0  # how many were taken; the last one counts
    depth: int = 0  # how many are held, those that were lost included
    frozen: bool = False  # then whoever holds one is about to lose it
    writes_left: int = NEVER  # until one is not answered, though the lease is there
    opens: bool = True  # False: in mode none
    unreadable: Reason | None = None
    lost: tuple[str, ...] = ()  # what ARM does not take back
    hidden: Refusal | None = None  # why the account cannot be found by its name, though it is there

    def find(self, query: AccountQuery) -> Account | Refusal:
        del query
        return self.hidden or ACCOUNT

    def network(self, account: Account) -> NetworkState:
        del account
        if self.unreadable is not None:
            raise FinalError(Refusal(reason=self.unreadable, message="it cannot be read", remedy=""))
        return self.network_state

    def must_open(self, found: NetworkState) -> bool:
        return self.opens and found != OPENED

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        del account
        if not self.must_open(found):
            return None
        self.effect()
        assert self.ledger.before is not None, "opened before it was written down"
        self._freeze()
        self.network_state = OPENED
        self._thaw()
        return None

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        del account, overdue
        self.effect()
        assert not self.ledger.owners, "closed under a live owner"
        self._freeze()
        self.network_state = before
        self._thaw()
        return self.lost

    def account(self, name: str) -> Account | None:
        return replace(ACCOUNT, name=name)

    def all(self) -> tuple[AccountLedger, ...]:
        return (AccountLedger(account=ACCOUNT, ledger=self.ledger),)

    @contextmanager
    def held(self, account: Account) -> Iterator["Page"]:
        """One writer at a time; the lease of one that is dead or frozen runs out."""
        del account
        if self.depth and not self.frozen:
            raise PassingError("another writer holds it")
        self.leases += 1
        self.depth += 1
        try:
            yield Page(self, self.leases)
        finally:
            self.depth -= 1

    def clock(self) -> datetime:
        return self.now

    def write(self, ledger: Ledger) -> None:
        self.effect()
        self.ledger = ledger

    def _freeze(self) -> None:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            self.frozen = True
            happens()
            self.frozen = False

    def _thaw(self) -> None:
        fails, self.thawed = self.thawed, None
        if fails is not None:
            raise fails

    def effect(self) -> None:
        if self.effects_left == 0:
            raise CrashError
        self.effects_left -= 1

    def perform(self, verb: str, run_id: str, crash_after: int = NEVER) -> object:
        """A run opens or closes; its host may die after so many effects."""
        query = AccountQuery(
            subscription_id=SUBSCRIPTION, name=ACCOUNT.name, resource_group=None, run_id=run_id
        )
        self.effects_left = crash_after
        answer: object = None
        with suppress(CrashError):
            if verb == "open":
                order = OpeningOrder(query=query, holdings=holdings(run_id))
                answer = open_access(order, accounts=self, ledgers=self, claims=self.claims, clock=self.clock)
            else:
                answer = close_access(query, accounts=self, ledgers=self, clock=self.clock)
                self.left.add(run_id)
        self.effects_left = NEVER
        return answer

    def sweep(self, dead: frozenset[str], crash_after: int = NEVER) -> None:
        """The janitor drops owners whose runs are dead, and restores after the last."""
        self.effects_left = crash_after
        with suppress(CrashError):
            owners = frozenset(owner for owner in self.ledger.owners if owner.run_id in dead)
            if is_to_settle(self.ledger, owners, self.now):
                settle_account(ACCOUNT, owners, accounts=self, ledgers=self, clock=self.clock)
        self.effects_left = NEVER
        self.left |= {gone.run_id for gone in self.ledger.departed}

    def check(self) -> None:
        """What must hold at every moment, whoever has crashed."""
        assert self.ledger.before in (None, FOUND)
        if self.network_state != FOUND:
            assert FOUND in (self.ledger.before, self.ledger.if_late), "open, and the way back forgotten"
        assert not self.left & {owner.run_id for owner in self.ledger.owners}, "back after its end"

    def check_settled(self) -> None:
        """Once nobody is left, the account is as it was, and nothing is owed to it."""
        self.now += timedelta(minutes=5)
        self.sweep(frozenset(RUNS))
        assert self.network_state == FOUND
        self.now += LATE_FOR
        self.sweep(frozenset())
        left = replace(self.ledger, departed=(), closings=())  # which harm nobody, and go with the next run
        assert (self.network_state, left) == (FOUND, Ledger())
