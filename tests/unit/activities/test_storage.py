"""Opening and closing an account, where runs share it, hosts freeze or die, and operators lend a hand."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from testkit.builders import ACCOUNT, CLUSTER, SUBSCRIPTION
from testkit.ledger_world import FOUND, NOON, OPENED, CrashError, World, holdings, owner

from activities.storage import close_access
from shared.domain.claims import Holder
from shared.domain.leases import ARM_LATE_FOR, LATE_FOR, Ledger, NetworkState, is_overdue, join
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery
from shared.ports import FinalError, PassingError


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

    world.unreadable = Reason.ACCOUNT_NOT_FOUND
    world.sweep(frozenset())
    assert world.ledger.openings
    world.now += LATE_FOR
    world.sweep(frozenset())
    assert world.ledger.is_settled


def late_opening() -> World:
    """One whose host is dead, for a run that is over."""
    world = World()

    def its_end() -> None:
        world.perform("close", "run1")
        world.thawed = CrashError()

    world.meanwhile = its_end
    world.perform("open", "run1")
    assert (world.network_state, world.ledger.owners) == (OPENED, ())
    return world


def test_an_opening_of_an_account_that_may_not_be_read_is_not_forgotten() -> None:
    world = late_opening()

    world.unreadable = Reason.ACCOUNT_FORBIDDEN
    world.now += LATE_FOR
    with pytest.raises(FinalError):
        world.sweep(frozenset())
    world.unreadable = None
    world.check_settled()


def test_an_opening_is_forgotten_in_a_mode_that_opens_nothing() -> None:
    world = late_opening()
    world.opens = False  # since the app was started again

    world.sweep(frozenset())
    assert world.network_state == FOUND
    world.now += LATE_FOR
    world.sweep(frozenset())
    world.network_state = OPENED  # by hand: the nodes are to be admitted so
    world.sweep(frozenset())

    assert (world.network_state, world.ledger.is_settled) == (OPENED, True)


def test_what_an_operator_changed_between_two_openings_is_what_is_restored() -> None:
    world = World(thawed=PassingError("no answer"))
    with suppress(PassingError):
        world.perform("open", "run1")
    world.perform("close", "run1")
    corrected = replace(FOUND, rules='{"ipRules":[]}')
    world.network_state = corrected
    world.thawed = PassingError("no answer")
    with suppress(PassingError):
        world.perform("open", "run2")
    world.perform("close", "run2")

    world.network_state = OPENED  # ARM acts late
    world.sweep(frozenset())

    assert world.network_state == corrected


def test_a_failed_try_that_was_overtaken_is_waited_for_as_long_as_arm_may_take() -> None:
    world = World()

    def its_end() -> None:
        world.perform("close", "run1")
        world.thawed = PassingError("no answer")

    world.meanwhile = its_end
    with pytest.raises(PassingError):
        world.perform("open", "run1")
    world.sweep(frozenset())
    world.now += ARM_LATE_FOR
    world.sweep(frozenset())

    assert (world.network_state, world.ledger.is_settled) == (FOUND, True)


def test_an_opening_that_could_not_be_told_is_written_down_once_the_ledger_is_free() -> None:
    world = World(writes_left=1)
    with pytest.raises(PassingError, match="others were at the ledger"):
        world.perform("open", "run1")

    assert len(world.ledger.openings) == 1
    world.perform("open", "run1")
    world.perform("close", "run1")
    world.check_settled()


def test_runs_that_fail_to_open_side_by_side_leave_a_small_ledger() -> None:
    world = World()
    for _ in range(10):
        world.now += ARM_LATE_FOR
        for run in ("run1", "run2"):
            world.thawed = PassingError("no answer")
            with suppress(PassingError):
                world.perform("open", run)
            world.network_state = FOUND
    assert len(world.ledger.openings) <= 4


def test_a_run_that_cannot_be_closed_for_now_left_when_it_tried_first() -> None:
    world = World()
    world.perform("open", "run1")
    for _ in range(8):
        world.thawed = PassingError("SubnetsNotProvisioned")
        with suppress(PassingError):
            world.perform("close", "run1")
        world.now += timedelta(seconds=30)

    assert is_overdue(world.ledger, world.now)


def test_a_closing_that_failed_and_was_overtaken_is_tried_again() -> None:
    world = World()
    world.perform("open", "run1")

    def another() -> None:
        world.perform("open", "run2")
        world.thawed = PassingError("no answer")

    world.meanwhile = another
    with pytest.raises(PassingError):
        world.perform("close", "run1")
    assert world.network_state == OPENED  # for the other


def test_what_a_closing_lost_is_told_though_it_was_overtaken() -> None:
    world = World(lost=("/subnets/gone",))
    world.perform("open", "run1")
    world.meanwhile = lambda: world.perform("open", "run2")

    assert world.perform("close", "run1") == ("/subnets/gone",)


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

    world.now += timedelta(minutes=1)
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


def test_a_late_opening_that_is_undone_by_halves_is_owed_until_it_is_whole() -> None:
    world = late_opening()
    world.thawed = PassingError("the switch is off, a subnet is in change")
    with pytest.raises(PassingError, match="in change"):
        world.sweep(frozenset())
    world.network_state = replace(OPENED, public_network_access="Disabled")

    world.sweep(frozenset())

    assert world.network_state == FOUND
    world.check_settled()


@pytest.mark.parametrize("minutes", [3, 70])
def test_a_run_that_a_late_closing_shut_out_is_let_in_though_the_first_try_fails(minutes: int) -> None:
    world = World()
    world.perform("open", "run1")

    def another() -> None:
        world.sweep(frozenset())
        world.perform("open", "run2")
        world.now += timedelta(minutes=minutes)
        world.sweep(frozenset())
        world.unreadable = Reason.ACCOUNT_FORBIDDEN  # so that nobody is let in at once

    world.meanwhile = another
    world.perform("close", "run1")
    assert (world.network_state, len(world.ledger.owners)) == (FOUND, 1)

    world.unreadable = None
    world.now += timedelta(minutes=1)
    world.sweep(frozenset())
    assert world.network_state == OPENED


def test_a_closing_that_failed_long_ago_overrules_no_operator() -> None:
    world = World()
    world.perform("open", "run1")
    world.thawed = PassingError("another operation is in progress")
    with suppress(PassingError):
        world.perform("close", "run1")
    world.perform("close", "run1")
    world.now += ARM_LATE_FOR
    world.perform("open", "run2")
    world.network_state = FOUND  # by an operator
    world.now += timedelta(minutes=2)

    world.sweep(frozenset())

    assert world.network_state == FOUND
