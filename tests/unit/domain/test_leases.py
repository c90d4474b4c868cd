"""The access ledger's transitions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from testkit.ledger_world import FOUND, NOON, OPENED, owner

from shared.domain.leases import (
    MAX_REMEMBERED,
    Ledger,
    NetworkState,
    Owner,
    abandoned,
    join,
    leave,
    restored,
    told_of,
)


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
