"""When a run counts as silent, and when a silence has lasted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from entrypoints.keep_warm import _past
from entrypoints.run_states import RunState
from entrypoints.silence import HEARD_OUT, SILENT_AFTER, UNWATCHED, Silences, is_silent

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RUN = RunState(
    run_id="run1", runtime_status="Running", custom_status=None, output=None, created_at=NOON, updated_at=NOON
)
SILENT = NOON + SILENT_AFTER


@pytest.mark.parametrize("status", ["Running", "Pending", "Suspended", "ContinuedAsNew"])
def test_whatever_is_not_over_may_fall_silent(status: str) -> None:
    run = replace(RUN, runtime_status=status)

    assert (is_silent(run, SILENT - timedelta(seconds=1)), is_silent(run, SILENT)) == (False, True)


def test_what_is_over_is_not_silent() -> None:
    assert not is_silent(replace(RUN, runtime_status="Terminated"), SILENT)


def looks(silences: Silences, *minutes: float, run: RunState = RUN) -> list[bool]:
    return [silences.is_lost(run, SILENT + timedelta(minutes=each)) for each in minutes]


def test_a_silence_that_was_watched_for_long_enough_is_a_loss() -> None:
    patience = HEARD_OUT // timedelta(minutes=1)

    assert looks(Silences(), *range(patience + 2)) == [False] * patience + [True, True]


def test_a_gap_in_watching_begins_anew() -> None:
    gap = UNWATCHED / timedelta(minutes=1) + 0.1

    assert looks(Silences(), 0, 2, 4, 6, 8, 10, 12, 12 + gap, 14 + gap, 16 + gap) == [False] * 10


def test_a_word_in_between_begins_anew() -> None:
    silences = Silences()
    looks(silences, *range(14))
    spoke = replace(RUN, updated_at=NOON + timedelta(seconds=1))

    assert looks(silences, 14, 16, 18, run=spoke) == [False] * 3


def test_runs_are_heard_out_one_by_one() -> None:
    silences = Silences()
    looks(silences, *range(14))

    assert looks(silences, 15, run=replace(RUN, run_id="run2")) == [False]
    assert looks(silences, 15) == [True]


def test_a_silent_run_keeps_no_cluster_cold() -> None:
    assert _past(RUN, SILENT - timedelta(seconds=1)).ended_at is None
    assert _past(RUN, SILENT).ended_at == NOON
