"""The access ledger of a storage account, through every order of runs, crashes and the janitor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from testkit.builders import ACCOUNT, CLUSTER, DATABASE, SUBSCRIPTION, claim
from testkit.memory_ports import MemoryClaims, Stage

from activities.storage import close_access, open_access, settle_account
from shared.domain.claims import Holder
from shared.domain.leases import (
    ARM_LATE_FOR,
    LATE_FOR,
    MAX_REMEMBERED,
    AccountLedger,
    Ledger,
    NetworkState,
    Owner,
    abandoned,
    join,
    leave,
    restored,
    told_of,
)
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
    is_gone: bool = False
    hidden: Refusal | None = None  # why the account cannot be found by its name, though it is there

    def find(self, query: AccountQuery) -> Account | Refusal:
        del query
        return self.hidden or ACCOUNT

    def network(self, account: Account) -> NetworkState:
        del account
        if self.is_gone:
            raise FinalError(
                Refusal(reason=Reason.ACCOUNT_NOT_FOUND, message="it is no more", remedy="name another")
            )
        return self.network_state

    def must_open(self, found: NetworkState) -> bool:
        return found != OPENED

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        del account
        if not self.must_open(found):
            return None
        self.effect()
        assert self.ledger.before == FOUND, "opened before it was written down"
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
        return ()

    def all(self) -> tuple[AccountLedger, ...]:
        return (AccountLedger(account=ACCOUNT, ledger=self.ledger),)

    @contextmanager
    def held(self, account: Account) -> Iterator["Page"]:
        """One writer at a time; the lease of one that is dead or frozen runs out."""
        del account
        self.leases += 1
        yield Page(self, self.leases)

    def clock(self) -> datetime:
        return self.now

    def write(self, ledger: Ledger) -> None:
        self.effect()
        self.ledger = ledger

    def _freeze(self) -> None:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()

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
        assert (self.network_state, replace(self.ledger, departed=())) == (FOUND, Ledger())


OPERATIONS = [
    *((verb, run, crash) for verb, run in product(("open", "close"), RUNS[:2]) for crash in (0, 1, 2, NEVER)),
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


Act = tuple[str, str]
ACTS = st.tuples(st.sampled_from(("open", "close", "sweep")), st.sampled_from(RUNS))


class RunsAndAJanitor(RuleBasedStateMachine):
    """Longer stories: runs live and die, activities come late or twice, a janitor has an old list."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.inside: set[str] = set()
        self.over: set[str] = set()

    @property
    def live(self) -> set[str]:
        return set(RUNS) - self.over

    @rule(run=st.sampled_from(RUNS))
    def opens(self, run: str) -> None:
        """For the first time, again, or when the run is over: an activity runs at least once."""
        before, is_over = self.world.network_state, run in self.world.left
        answer = self.world.perform("open", run)
        if is_over:
            assert isinstance(answer, Refusal)
            assert self.world.network_state == before, "opened for nobody"
        elif run in self.live and answer is not None:
            self.inside.add(run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 2))
    def its_host_dies_while_opening(self, run: str, after: int) -> None:
        self.world.perform("open", run, after)

    @rule(run=st.sampled_from(RUNS))
    def closes(self, run: str) -> None:
        self._ends(run)
        self.world.perform("close", run)

    @rule(run=st.sampled_from(RUNS), after=st.integers(0, 3))
    def its_host_dies_while_closing(self, run: str, after: int) -> None:
        self._ends(run)
        self.world.perform("close", run, after)

    @rule(run=st.sampled_from(RUNS))
    def is_terminated(self, run: str) -> None:
        self._ends(run)

    @rule(minutes=st.integers(1, 5), after=st.sampled_from([0, 1, 2, NEVER]))
    def time_passes_and_the_janitor_comes(self, minutes: int, after: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.world.sweep(frozenset(self.over), after)
        if self.inside and after == NEVER:
            assert self.world.network_state == OPENED, "shut out for more than a round of the janitor"

    @rule(run=st.sampled_from(RUNS))
    def joins_after_the_janitor_asked_who_lives(self, run: str) -> None:
        dead_as_listed = frozenset(self.over)
        self.opens(run)
        self.world.sweep(dead_as_listed)

    @invariant()
    def the_way_back_is_known_and_nobody_comes_back(self) -> None:
        self.world.check()

    @invariant()
    def whoever_is_inside_finds_it_open(self) -> None:
        if self.inside and not self.world.ledger.closings:
            assert self.world.network_state == OPENED

    def _ends(self, run: str) -> None:
        self.inside.discard(run)
        self.over.add(run)

    def teardown(self) -> None:
        self.world.check_settled()

    @rule(
        frozen=ACTS,
        others=st.lists(ACTS, min_size=1, max_size=3),
        thawed=st.sampled_from([None, CrashError(), PassingError("no answer")]),
        minutes=st.sampled_from([3, 70]),
    )
    def others_act_while_one_is_frozen_between_ledger_and_azure(
        self, frozen: Act, others: list[Act], thawed: Exception | None, minutes: int
    ) -> None:
        """Its lease runs out, and what it was about comes late; then it is tried again, as Durable does."""
        # One that comes back after more than an hour, and dies before it can say so, is found by nobody.
        assume(minutes == 3 or not isinstance(thawed, CrashError))

        def meanwhile() -> None:
            for act in others:
                self.world.now += timedelta(minutes=minutes)
                self._act(act)
            self.world.thawed = thawed

        self.world.meanwhile = meanwhile
        with suppress(PassingError):
            self._act(frozen)
        self.world.meanwhile = self.world.thawed = None
        self._act(frozen)

    def _act(self, act: Act) -> None:
        match act:
            case "open", run:
                self.opens(run)
            case "close", run:
                self.closes(run)
            case _:
                self.world.sweep(frozenset(self.over))


RunsAndAJanitor.TestCase.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
test_no_story_of_runs_and_a_janitor_leaves_an_account_open = RunsAndAJanitor.TestCase


@pytest.mark.parametrize("ended_by", ["itself", "the janitor"])
def test_an_activity_that_runs_after_its_run_was_wound_up_opens_nothing(ended_by: str) -> None:
    world = World()
    world.perform("open", "run1")
    if ended_by == "itself":
        world.perform("close", "run1")
    else:
        world.now += timedelta(minutes=3)
        world.sweep(frozenset({"run1"}))

    late = world.perform("open", "run1")

    assert isinstance(late, Refusal)
    assert late.reason is Reason.CLAIM_LOST
    assert (world.network_state, world.ledger.owners) == (FOUND, ())


def test_a_run_that_lost_its_databases_before_it_opened_opens_nothing() -> None:
    world = World()
    world.claims.drop(CLUSTER, holdings("run1").databases, Holder("run1"))

    assert isinstance(world.perform("open", "run1"), Refusal)
    assert (world.network_state, world.ledger) == (FOUND, Ledger())


def test_runs_that_left_are_remembered_for_hours_and_not_for_ever() -> None:
    ledger = Ledger()
    for number in range(1_000):
        ledger = leave(ledger, {f"run{number}"}, NOON + timedelta(seconds=number))
    assert len(ledger.departed) == MAX_REMEMBERED
    assert ledger.knows_the_end_of("run999")

    later = leave(ledger, {"last"}, NOON + timedelta(days=1))
    assert [gone.run_id for gone in later.departed] == ["last"]


def test_the_first_in_writes_down_what_it_found_and_nobody_after_it() -> None:
    first = join(Ledger(), owner("run1", NOON), found=FOUND)
    second = join(first, owner("run2", NOON), found=OPENED)

    assert (second.before, [owner.run_id for owner in second.owners]) == (FOUND, ["run1", "run2"])


def test_joining_and_leaving_twice_are_joining_and_leaving_once() -> None:
    once = join(Ledger(), owner("run1", NOON), found=FOUND)

    assert join(once, owner("run1", NOON), found=OPENED) == once
    assert leave(leave(once, {"run1"}, NOON), {"run1"}, NOON) == leave(once, {"run1"}, NOON)


def test_only_the_last_one_out_restores() -> None:
    both = join(join(Ledger(), owner("run1", NOON), found=FOUND), owner("run2", NOON), found=OPENED)

    assert leave(both, {"run1"}, NOON).to_restore is None
    assert leave(both, {"run1", "run2"}, NOON).to_restore == FOUND


def test_who_opens_after_its_books_were_settled_without_it_leaves_the_way_back_written_down() -> None:
    world = World()

    def janitor() -> None:
        world.now += timedelta(minutes=3)
        world.leases += 1
        world.sweep(frozenset({"run1"}))

    world.meanwhile = janitor
    with pytest.raises(PassingError, match="others were at the ledger"):
        world.perform("open", "run1")

    assert (world.network_state, world.ledger.owners) == (OPENED, ())
    world.check()
    world.check_settled()


@pytest.mark.parametrize("thawed", [CrashError(), PassingError("no answer")], ids=["dies", "hears nothing"])
def test_who_opens_late_and_cannot_even_say_so_is_put_right(thawed: Exception) -> None:
    world = World()

    def janitor() -> None:
        world.now += timedelta(minutes=3)
        world.sweep(frozenset({"run1"}))
        world.thawed = thawed

    world.meanwhile = janitor
    with suppress(PassingError):
        world.perform("open", "run1")
    assert isinstance(world.perform("open", "run1"), Refusal)  # it runs again, on another host

    assert (world.network_state, world.ledger.owners) == (OPENED, ())
    world.sweep(frozenset())
    assert world.network_state == FOUND


def test_an_opening_that_comes_after_a_long_run_has_left_is_put_right() -> None:
    world = World()

    def a_long_run() -> None:
        world.perform("open", "run1")
        world.now += LATE_FOR + timedelta(minutes=10)
        world.perform("close", "run1")
        world.sweep(frozenset())

    world.meanwhile = a_long_run
    with pytest.raises(PassingError):
        world.perform("open", "run1")
    assert world.network_state == OPENED

    world.sweep(frozenset())
    assert world.network_state == FOUND


def test_an_opening_that_comes_when_it_was_forgotten_is_put_right() -> None:
    world = World()

    def more_than_an_hour() -> None:
        world.perform("close", "run1")
        world.now += LATE_FOR
        world.sweep(frozenset())
        assert world.ledger.is_settled

    world.meanwhile = more_than_an_hour
    with pytest.raises(PassingError, match="others were at the ledger"):
        world.perform("open", "run1")
    assert world.network_state == OPENED

    world.sweep(frozenset())
    assert world.network_state == FOUND
    world.check_settled()


def test_an_opening_that_nobody_looked_at_for_an_hour_is_looked_at_before_it_is_forgotten() -> None:
    world = World()

    def another_try() -> None:
        world.perform("close", "run1")
        world.thawed = CrashError()

    world.meanwhile = another_try
    world.perform("open", "run1")
    assert (world.network_state, world.ledger.owners) == (OPENED, ())

    world.now += LATE_FOR  # no instance of the app was there
    world.check_settled()


@pytest.mark.parametrize(
    ("after", "network"),
    [(ARM_LATE_FOR - timedelta(minutes=1), FOUND), (ARM_LATE_FOR, OPENED)],
    ids=["ARM may still have acted", "an operator opened it"],
)
def test_a_failed_try_at_opening_is_waited_for_as_long_as_arm_may_take(
    after: timedelta, network: NetworkState
) -> None:
    world = World(thawed=PassingError("StorageAccountOperationInProgress"))
    with pytest.raises(PassingError, match="OperationInProgress"):
        world.perform("open", "run1")
    world.perform("close", "run1")
    world.sweep(frozenset())
    assert world.network_state == FOUND

    world.now += after
    world.sweep(frozenset())
    world.network_state = OPENED
    world.sweep(frozenset())

    assert world.network_state == network


def test_an_opening_of_an_account_that_is_no_more_is_forgotten() -> None:
    world = World(thawed=PassingError("no answer"))
    with suppress(PassingError):
        world.perform("open", "run1")
    world.perform("open", "run1")
    world.perform("close", "run1")
    assert world.ledger.openings

    world.is_gone = True
    with pytest.raises(FinalError, match="no more"):
        world.sweep(frozenset())
    world.now += LATE_FOR
    world.sweep(frozenset())
    assert world.ledger.is_settled


def test_who_joins_what_was_opened_late_closes_it() -> None:
    world = World()

    def another_try() -> None:
        world.perform("open", "run1")
        world.perform("close", "run1")

    world.meanwhile = another_try
    with pytest.raises(PassingError):
        world.perform("open", "run1")
    assert (world.network_state, world.ledger.owners) == (OPENED, ())

    world.perform("open", "run2")
    world.perform("close", "run2")
    world.check_settled()


def test_who_opens_after_another_joined_an_account_that_it_opened_leaves_the_way_back_to_the_other() -> None:
    world = World()

    def others() -> None:
        world.perform("close", "run1")
        world.network_state = OPENED  # as ours is about to make it
        world.perform("open", "run2")

    world.meanwhile = others
    with pytest.raises(PassingError):
        world.perform("open", "run1")
    assert (world.network_state, world.ledger.before) == (OPENED, FOUND)

    world.perform("close", "run2")
    assert world.network_state == FOUND
    world.check_settled()


def test_who_closes_under_one_that_joined_since_opens_again() -> None:
    world = World()
    world.perform("open", "run1")
    world.meanwhile = lambda: world.perform("open", "run2")

    world.perform("close", "run1")  # its run may be over, so that nobody tries it again

    assert (world.network_state, world.ledger.before) == (OPENED, FOUND)
    world.perform("close", "run2")
    world.check_settled()


def test_who_lets_others_in_again_and_finds_them_gone_leaves_the_way_back_written_down() -> None:
    world = World()
    world.perform("open", "run1")

    def another_joins_and_leaves_when_it_is_let_in() -> None:
        world.perform("open", "run2", crash_after=1)  # it has joined, and opened nothing
        world.meanwhile = lambda: world.perform("close", "run2")

    world.meanwhile = another_joins_and_leaves_when_it_is_let_in
    with pytest.raises(PassingError, match="others were at the ledger"):
        world.perform("close", "run1")

    world.check()
    world.check_settled()


def test_a_janitor_that_closes_under_one_that_joined_since_lets_it_in_again() -> None:
    world = World()
    world.perform("open", "run1")
    world.now += timedelta(minutes=3)
    world.meanwhile = lambda: world.perform("open", "run2")

    world.sweep(frozenset({"run1"}))

    assert (world.network_state, [owner.run_id for owner in world.ledger.owners]) == (OPENED, ["run2"])
    world.perform("close", "run2")
    world.check_settled()


@pytest.mark.parametrize("found", [FOUND, OPENED], ids=["opened by a run", "open before"])
def test_a_run_that_a_dead_closer_shut_out_is_let_in_by_the_janitor(found: NetworkState) -> None:
    world = World()
    world.perform("open", "run1")

    def another() -> None:
        world.sweep(frozenset())
        world.network_state = found
        world.perform("open", "run2")
        world.thawed = CrashError()

    world.meanwhile = another
    world.perform("close", "run1")
    assert (world.network_state, [owner.run_id for owner in world.ledger.owners]) == (FOUND, ["run2"])

    world.sweep(frozenset())
    assert world.network_state == OPENED
    world.perform("close", "run2")
    world.check_settled()


def test_an_operator_who_closes_under_runs_finds_it_closed_when_one_of_them_leaves() -> None:
    world = World()
    world.perform("open", "run1")
    world.perform("open", "run2")
    world.network_state = FOUND

    world.perform("close", "run1")

    assert world.network_state == FOUND


def test_an_account_that_was_open_is_left_open() -> None:
    world = World(network_state=OPENED)
    query = AccountQuery(subscription_id=SUBSCRIPTION, name=ACCOUNT.name, resource_group=None, run_id="run1")
    world.ledger = join(Ledger(), owner("run1", NOON), found=OPENED)

    assert close_access(query, accounts=world, ledgers=world, clock=world.clock) == ()
    assert (world.network_state, world.ledger.to_restore) == (OPENED, None)


def test_what_others_do_to_an_account_that_was_open_stays() -> None:
    world = World(network_state=OPENED)
    world.perform("open", "run1")
    world.network_state = FOUND  # an operator closes it

    world.perform("close", "run1")

    assert (world.network_state, world.ledger.before) == (FOUND, None)


def test_who_joins_when_it_was_closed_meanwhile_opens_and_restores_it() -> None:
    world = World(network_state=OPENED)
    world.perform("open", "run1")
    world.network_state = FOUND
    world.perform("open", "run2")
    assert (world.network_state, world.ledger.before) == (OPENED, FOUND)

    world.perform("close", "run1")
    world.perform("close", "run2")
    assert world.network_state == FOUND


def test_an_account_that_the_app_may_not_find_any_more_is_closed_by_its_ledger() -> None:
    world = World()
    world.perform("open", "run1")
    assert world.network_state == OPENED
    world.hidden = Refusal(reason=Reason.ACCOUNT_NOT_FOUND, message="not in the subscription", remedy="")

    world.perform("close", "run1")
    assert (world.network_state, world.ledger.to_restore, world.ledger.owners) == (FOUND, None, ())


def test_a_run_that_comes_back_is_young_again() -> None:
    old = join(Ledger(), owner("run1", NOON), found=FOUND)
    again = join(old, owner("run1", NOON + timedelta(hours=1)), found=OPENED)

    assert abandoned(again, set(again.owners), NOON + timedelta(hours=1)) == frozenset()
    assert abandoned(again, set(old.owners), NOON + timedelta(hours=2)) == frozenset()  # judged before that


@pytest.mark.parametrize(("minutes", "gone"), [(1, frozenset()), (3, frozenset({"run1"}))])
def test_a_run_too_young_to_be_listed_is_not_abandoned(minutes: int, gone: frozenset[str]) -> None:
    ledger = join(Ledger(), owner("run1", NOON), found=FOUND)

    assert abandoned(ledger, set(ledger.owners), NOON + timedelta(minutes=minutes)) == gone
    assert abandoned(ledger, frozenset(), NOON + timedelta(minutes=minutes)) == frozenset()


def test_an_account_is_public_only_where_nothing_stands_in_the_way() -> None:
    assert OPENED.is_public
    assert not replace(OPENED, default_action="Deny").is_public
    assert not replace(OPENED, public_network_access="Disabled").is_public


def test_rules_that_were_lost_are_known_until_they_are_there_again() -> None:
    owner = Owner(run_id="run-1", since=datetime(2026, 5, 1, tzinfo=UTC))
    without = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
    with_it = replace(without, rules='{"virtualNetworkRules": [{"id": "/subnets/gone"}]}')

    lost = restored(join(Ledger(), owner, found=with_it), ("/subnets/gone",))
    kept = restored(join(lost, owner, found=without))
    back = restored(join(kept, owner, found=with_it))

    assert (lost.lost, kept.lost, back.lost) == (("/subnets/gone",), ("/subnets/gone",), ())


def test_an_operator_is_told_of_a_few_lost_rules_by_name() -> None:
    assert told_of(()) == ""
    assert told_of(("/a", "/b")).endswith("wanted: /a, /b")
    assert told_of(tuple("abcde")).endswith("wanted: a, b, c and 2 more")
