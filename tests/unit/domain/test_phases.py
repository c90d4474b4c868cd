"""The six steps, and the one phase that follows from them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.phases import Journal, Phase, Step, phase_of

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(seconds=90)


def reached(last: Step) -> Journal:
    """A journal of a run that has come as far as this."""
    journal = Journal()
    for step in Step:
        journal = journal.begin(step, NOON)
        if step is last:
            return journal
    raise AssertionError(last)


def test_all_six_steps_are_there_before_any_began() -> None:
    assert list(Journal().shown()) == [
        "enabling_storage",
        "configuring",
        "roles",
        "warming_up",
        "polling",
        "disable_storage",
    ]
    assert all(step == {"done": False} for step in Journal().shown().values())


def test_a_step_has_its_times_and_its_note() -> None:
    journal = Journal().begin(Step.ROLES, NOON).end(Step.ROLES, LATER, "nothing to grant")

    assert journal.shown()["roles"] == {
        "done": True,
        "started_at": "2026-05-01T12:00:00Z",
        "completed_at": "2026-05-01T12:01:30Z",
        "note": "nothing to grant",
    }


def test_a_step_that_began_keeps_its_time() -> None:
    journal = Journal().begin(Step.POLLING, NOON).begin(Step.POLLING, LATER)

    assert journal.record(Step.POLLING).started_at == NOON


def test_a_step_that_was_never_reached_cannot_end() -> None:
    assert Journal().end(Step.POLLING, NOON) == Journal()


@pytest.mark.parametrize(
    ("last", "phase"),
    [
        (Step.ENABLING_STORAGE, Phase.ENABLING_STORAGE),
        (Step.CONFIGURING, Phase.CONFIGURING),
        (Step.ROLES, Phase.CONFIGURING),
        (Step.WARMING_UP, Phase.CONFIGURING),
        (Step.POLLING, Phase.WARMING_UP),
        (Step.DISABLE_STORAGE, Phase.WARMING_UP),
    ],
)
def test_the_phase_follows_from_the_last_step_reached(last: Step, phase: Phase) -> None:
    assert phase_of(reached(last), None) is phase


def test_a_run_that_has_not_begun_is_enabling_storage() -> None:
    assert phase_of(Journal(), None) is Phase.ENABLING_STORAGE


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [
        ("succeeded", Phase.COMPLETED),
        ("planned", Phase.COMPLETED),
        ("failed", Phase.FAILED),
        ("cancelled", Phase.FAILED),
    ],
)
def test_an_ending_outweighs_the_steps(outcome: str, phase: Phase) -> None:
    assert phase_of(reached(Step.POLLING), outcome) is phase


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(Step)), max_size=20))
def test_no_order_of_events_ends_a_step_before_it_began(events: list[tuple[bool, Step]]) -> None:
    journal = Journal()
    for minute, (begins, step) in enumerate(events):
        now = NOON + timedelta(minutes=minute)
        journal = journal.begin(step, now) if begins else journal.end(step, now)

    assert [record.step for record in journal.records] == list(Step)
    for record in journal.records:
        if record.completed_at is not None:
            assert record.started_at is not None
            assert record.started_at <= record.completed_at
