"""What dashboards read of runs that did not end by themselves, and of those in flight."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from testkit import builders as a

from entrypoints import presenting
from entrypoints.run_states import RunState

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
STATE = RunState(
    run_id="run1",
    runtime_status="Failed",
    custom_status=None,
    output=None,
    created_at=NOON,
    updated_at=NOON,
    run=a.run(),
)

WRAPPED = (
    "Orchestrator function 'warm_databases' failed: Activity function 'read_cluster' failed: "
    'ValueError: no node \n {"RemoteStackTrace": "…"}'
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Orchestrator function 'warm_databases' failed: out of luck", "out of luck"),
        (WRAPPED, "ValueError: no node"),
        ("no prefix at all", "no prefix at all"),
        (None, "ended from outside, without a reason"),
    ],
)
def test_a_crashed_run_shows_its_cause_first(text: str | None, error: str) -> None:
    shown = presenting.status_of(replace(STATE, output=text))

    assert shown["runtime_status"] == "Failed"
    assert shown["output"] == {"status": "failed", "db": "core_nt", "error": error}


def test_a_run_that_told_its_own_ending_is_not_retold() -> None:
    told = {"status": "failed", "error": "disk full"}

    shown = presenting.status_of(replace(STATE, runtime_status="Completed", output=told))

    assert shown["output"] is told


def test_a_suspended_runs_reason_is_no_ending() -> None:
    assert presenting.status_of(replace(STATE, runtime_status="Suspended", output="why"))["output"] == "why"


def test_active_runs_are_listed_latest_first() -> None:
    later = replace(STATE, run_id="run2", created_at=NOON.replace(hour=13))

    listed = presenting.active_of([STATE, later])

    assert [row["instance_id"] for row in listed["warmups"]] == ["run2", "run1"]  # type: ignore[attr-defined]
    assert listed["instance_id"] == "run2"


def test_no_active_run_is_said_in_every_field() -> None:
    assert presenting.active_of([]) == {"active": False, "instance_id": None, "warmup": None, "warmups": []}
