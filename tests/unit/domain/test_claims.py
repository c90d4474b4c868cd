"""Two starts of the same thing are one run."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from testkit.builders import CLUSTER

from shared.domain.claims import (
    Claim,
    Claimed,
    Conflict,
    HeldBy,
    cancelled,
    given_back,
    hold_of,
    judge_claims,
    taken_over,
)
from shared.domain.model import Database

A, B, C = (Database(name=name, folder=name) for name in "abc")
SETS = st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3, unique=True).map(tuple)


def claims(run_id: str, *databases: Database) -> list[Claim]:
    """What one run holds: a claim for each of its databases."""
    return [
        Claim(
            cluster=CLUSTER,
            database=database,
            run_id=run_id,
            run_databases=databases,
            account_name="blastdata",
            claimed_at=datetime(2026, 5, 1, tzinfo=UTC),
        )
        for database in databases
    ]


def test_what_nobody_holds_is_ours() -> None:
    assert judge_claims("run1", (A, B), []) == Claimed(run_id="run1")


def test_what_we_hold_already_is_still_ours() -> None:
    assert judge_claims("run1", (A, B), claims("run1", A, B)) == Claimed(run_id="run1")


def test_a_run_that_covers_everything_is_the_answer() -> None:
    assert judge_claims("run2", (A,), claims("run1", A, B)[:1]) == HeldBy(run_id="run1")


def test_a_run_that_covers_only_some_is_a_conflict_that_names_it() -> None:
    verdict = judge_claims("run2", (A, B), claims("run1", A))

    assert isinstance(verdict, Conflict)
    assert verdict.message.startswith("a, b cannot be one run now: run run1 warms a; ")


def test_databases_spread_over_two_runs_are_a_conflict_that_names_both() -> None:
    verdict = judge_claims("run3", (A, B), [*claims("run1", A), *claims("run2", B)])

    assert isinstance(verdict, Conflict)
    assert "run run1 warms a; run run2 warms b" in verdict.message


@given(SETS, SETS)
def test_a_run_that_is_returned_covers_what_was_asked(
    wanted: tuple[Database, ...], held: tuple[Database, ...]
) -> None:
    found = [claim for claim in claims("run1", *held) if claim.database in wanted]

    match judge_claims("run2", wanted, found):
        case Claimed():
            assert not set(wanted) & set(held)
        case HeldBy():
            assert set(wanted) <= set(held)
        case Conflict():
            assert set(wanted) & set(held) < set(wanted)


def test_a_run_whose_claims_are_all_its_own_goes_on() -> None:
    held = {claim.database: claim for claim in claims("run1", A, B)}

    assert hold_of("run1", held).refusal is None


def test_a_run_is_told_of_the_first_database_that_it_has_lost() -> None:
    held = {A: claims("run1", A, B)[0], B: claims("run2", B)[0], C: None}

    hold = hold_of("run1", held)
    assert hold.lost is not None
    assert hold.lost.message == "run run1 no longer holds database 'b'"
    assert hold.refusal == hold.lost


def test_a_cancel_on_any_of_its_claims_reaches_a_run_and_no_other() -> None:
    a, b = claims("run1", A, B)
    held = {A: a, B: replace(b, cancelled_by="oid")}

    assert hold_of("run1", held).refusal == cancelled("oid")
    assert hold_of("run2", held).cancelled is None


def test_whoever_takes_over_remembers_all_whose_pods_may_be_left() -> None:
    (first,), (second,), (third,) = claims("run1", A), claims("run2", A), claims("run3", A)
    over = taken_over(third, taken_over(second, taken_over(first, None)))

    assert over.after == ("run1", "run2")
    assert taken_over(first, over).after == ("run1", "run2", "run3")  # purged, and asked for again


def test_what_is_given_back_is_nobodys_to_write_with() -> None:
    (first,), (second,) = claims("run1", A), claims("run2", A)
    back = given_back(taken_over(second, first))

    assert back is not None
    assert hold_of("run1", {A: back}).lost is not None
    assert given_back(back) is None
