"""The access ledger of a storage account, through every order of runs, crashes and the janitor."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from testkit.builders import ACCOUNT, SUBSCRIPTION

from activities.storage import close_access, open_access
from shared.domain.leases import Ledger, NetworkState, abandoned, join, leave, restored
from shared.domain.model import Account
from shared.domain.refusals import Refusal
from shared.domain.runs import AccountQuery

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RULES = '{"ipRules":[{"value":"192.0.2.7"}],"virtualNetworkRules":[]}'
FOUND = NetworkState(public_network_access="Disabled", default_action="Deny", rules=RULES)
OPENED = NetworkState(public_network_access="Enabled", default_action="Allow", rules=RULES)
RUNS = ("run1", "run2")
NEVER = 99  # a step that no operation reaches


class CrashError(Exception):
    """The host dies here."""


@dataclass
class World:
    """An account and its ledger; what the hands need of both, and a host that may die at any effect."""

    network_state: NetworkState = FOUND
    ledger: Ledger = field(default_factory=Ledger)
    now: datetime = NOON
    effects_left: int = NEVER

    def find(self, query: AccountQuery) -> Account | Refusal:
        del query
        return ACCOUNT

    def network(self, account: Account) -> NetworkState:
        del account
        return self.network_state

    def must_open(self, found: NetworkState) -> bool:
        return found != OPENED

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        del account, found
        self._effect()
        assert self.ledger.before == FOUND, "opened before it was written down"
        self.network_state = OPENED
        return None

    def restore(self, account: Account, before: NetworkState) -> None:
        del account
        self._effect()
        assert not self.ledger.owners, "closed under a live owner"
        self.network_state = before

    def accounts(self) -> tuple[Account, ...]:
        return (ACCOUNT,)

    def held(self, account: Account) -> AbstractContextManager["World"]:
        """One writer at a time; a dead one's lease runs out."""
        del account

        @contextmanager
        def page() -> Iterator[World]:
            yield self

        return page()

    def read(self) -> Ledger:
        return self.ledger

    def write(self, ledger: Ledger) -> None:
        self._effect()
        self.ledger = ledger

    def clock(self) -> datetime:
        return self.now

    def _effect(self) -> None:
        if self.effects_left == 0:
            raise CrashError
        self.effects_left -= 1

    def perform(self, verb: str, run_id: str, crash_after: int = NEVER) -> None:
        """A run opens or closes; its host may die after so many effects."""
        query = AccountQuery(
            subscription_id=SUBSCRIPTION, name=ACCOUNT.name, resource_group=None, run_id=run_id
        )
        self.effects_left = crash_after
        with suppress(CrashError):
            if verb == "open":
                open_access(query, accounts=self, ledgers=self, clock=self.clock)
            else:
                close_access(query, accounts=self, ledgers=self)
        self.effects_left = NEVER

    def sweep(self, dead: frozenset[str], crash_after: int = NEVER) -> None:
        """The janitor drops owners whose runs are dead, and restores after the last."""
        self.effects_left = crash_after
        with suppress(CrashError):
            ledger = leave(self.ledger, abandoned(self.ledger, dead, self.now))
            self.write(ledger)
            if ledger.to_restore is not None:
                self.restore(ACCOUNT, ledger.to_restore)
                self.write(restored(ledger))
        self.effects_left = NEVER

    def check(self) -> None:
        """What must hold at every moment, whoever has crashed."""
        assert self.ledger.before in (None, FOUND)
        if self.network_state != FOUND:
            assert self.ledger.before == FOUND, "open, and the way back forgotten"

    def check_settled(self) -> None:
        """Once nobody is left, the account is as it was, and nothing is owed to it."""
        self.now += timedelta(hours=1)
        self.sweep(frozenset(RUNS))
        assert self.network_state == FOUND
        assert self.ledger == Ledger()


OPERATIONS = [
    *((verb, run, crash) for verb, run in product(("open", "close"), RUNS) for crash in (0, 1, 2, NEVER)),
    *(("sweep", "", crash) for crash in (0, 1, 2, NEVER)),
]


def test_every_order_of_three_operations_and_crashes_leads_back() -> None:
    for operations in product(OPERATIONS, repeat=3):
        world = World()
        for verb, run_id, crash_after in operations:
            world.now += timedelta(minutes=1)
            if verb == "sweep":
                world.sweep(frozenset(), crash_after)
            else:
                world.perform(verb, run_id, crash_after)
            world.check()
        world.check_settled()


class TwoRunsAndAJanitor(RuleBasedStateMachine):
    """Longer stories: runs that live, die and come back, and a janitor with an old list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.inside: set[str] = set()
        self.live: set[str] = set()

    @rule(run=st.sampled_from(RUNS))
    def opens(self, run: str) -> None:
        """An activity is tried until it succeeds; here at once."""
        self.world.perform("open", run)
        self.inside.add(run)
        self.live.add(run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 2))
    def dies_while_opening(self, run: str, after: int) -> None:
        self.world.perform("open", run, after)
        self.inside.discard(run)
        self.live.discard(run)

    @rule(run=st.sampled_from(RUNS))
    def closes(self, run: str) -> None:
        self.inside.discard(run)
        self.world.perform("close", run)
        self.live.discard(run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 3))
    def dies_while_closing(self, run: str, after: int) -> None:
        self.inside.discard(run)
        self.world.perform("close", run, after)
        self.live.discard(run)

    @rule(run=st.sampled_from(RUNS))
    def is_terminated(self, run: str) -> None:
        self.inside.discard(run)
        self.live.discard(run)

    @rule(minutes=st.integers(1, 5), after=st.sampled_from([0, 1, 2, NEVER]))
    def time_passes_and_the_janitor_comes(self, minutes: int, after: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.world.sweep(frozenset(RUNS) - self.live, after)

    @rule(run=st.sampled_from(RUNS))
    def joins_after_the_janitor_asked_who_lives(self, run: str) -> None:
        dead_as_listed = frozenset(RUNS) - self.live
        self.opens(run)
        self.world.sweep(dead_as_listed - (self.inside - {run}))

    @invariant()
    def the_way_back_is_known(self) -> None:
        self.world.check()

    @invariant()
    def whoever_is_inside_finds_it_open(self) -> None:
        if self.inside:
            assert self.world.network_state == OPENED

    def teardown(self) -> None:
        self.world.check_settled()


TwoRunsAndAJanitor.TestCase.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
test_no_story_of_two_runs_and_a_janitor_leaves_an_account_open = TwoRunsAndAJanitor.TestCase


def test_the_first_in_writes_down_what_it_found_and_nobody_after_it() -> None:
    first = join(Ledger(), "run1", found=FOUND, now=NOON)
    second = join(first, "run2", found=OPENED, now=NOON)

    assert (second.before, [owner.run_id for owner in second.owners]) == (FOUND, ["run1", "run2"])


def test_joining_and_leaving_twice_are_joining_and_leaving_once() -> None:
    once = join(Ledger(), "run1", found=FOUND, now=NOON)

    assert join(once, "run1", found=OPENED, now=NOON) == once
    assert leave(leave(once, {"run1"}), {"run1"}) == leave(once, {"run1"})


def test_only_the_last_one_out_restores() -> None:
    both = join(join(Ledger(), "run1", found=FOUND, now=NOON), "run2", found=OPENED, now=NOON)

    assert leave(both, {"run1"}).to_restore is None
    assert leave(both, {"run1", "run2"}).to_restore == FOUND


def test_an_account_that_was_open_is_left_open() -> None:
    world = World(network_state=OPENED)
    query = AccountQuery(subscription_id=SUBSCRIPTION, name="x", resource_group=None, run_id="run1")
    world.ledger = join(Ledger(), "run1", found=OPENED, now=NOON)

    assert close_access(query, accounts=world, ledgers=world) is True
    assert (world.network_state, world.ledger) == (OPENED, Ledger())


def test_a_run_that_comes_back_is_young_again() -> None:
    old = join(Ledger(), "run1", found=FOUND, now=NOON)
    again = join(old, "run1", found=OPENED, now=NOON + timedelta(hours=1))

    assert abandoned(again, {"run1"}, NOON + timedelta(hours=1)) == frozenset()


@pytest.mark.parametrize(("minutes", "gone"), [(1, frozenset()), (3, frozenset({"run1"}))])
def test_a_run_too_young_to_be_listed_is_not_abandoned(minutes: int, gone: frozenset[str]) -> None:
    ledger = join(Ledger(), "run1", found=FOUND, now=NOON)

    assert abandoned(ledger, {"run1"}, NOON + timedelta(minutes=minutes)) == gone
    assert abandoned(ledger, frozenset(), NOON + timedelta(minutes=minutes)) == frozenset()


def test_an_account_is_public_only_where_nothing_stands_in_the_way() -> None:
    assert OPENED.is_public
    assert not replace(OPENED, default_action="Deny").is_public
    assert not replace(OPENED, public_network_access="Disabled").is_public
