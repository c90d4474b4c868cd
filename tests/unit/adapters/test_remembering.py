"""What a look may know of the looks before it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from testkit.builders import CLUSTER, report

from shared.adapters.remembering import Memories, Memory

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_trouble_is_dated_from_when_it_was_first_seen() -> None:
    memory = Memory()
    memory.since("unready", ["n1"], NOON)

    assert memory.since("unready", ["n1", "n2"], LATER) == {"n1": NOON, "n2": LATER}


def test_trouble_that_ended_begins_anew() -> None:
    memory = Memory()
    memory.since("unready", ["n1"], NOON)
    memory.since("unready", [], NOON)

    assert memory.since("unready", ["n1"], LATER) == {"n1": LATER}


def test_troubles_of_two_kinds_are_kept_apart() -> None:
    memory = Memory()
    memory.since("unready", ["n1"], NOON)
    memory.since("missing", [], LATER)

    assert memory.since("unready", ["n1"], LATER) == {"n1": NOON}


def test_reports_of_pods_that_are_gone_are_dropped() -> None:
    memory = Memory()
    memory.reports = {"a": report(), "b": report()}
    memory.forget_all_but(["b", "c"])

    assert set(memory.reports) == {"b"}


def test_each_run_has_a_memory_of_its_own_and_old_ones_fade() -> None:
    memories = Memories()
    first = memories.of(CLUSTER, "run-1")
    assert memories.of(CLUSTER, "run-1") is first
    assert memories.of(replace(CLUSTER, name="another"), "run-1") is not first

    for number in range(100):
        memories.of(CLUSTER, f"other-{number}")
    assert memories.of(CLUSTER, "run-1") is not first
