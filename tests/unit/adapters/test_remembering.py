"""What a look may know of the looks before it."""

from dataclasses import replace
from datetime import UTC, datetime

from testkit.builders import CLUSTER, report

from shared.adapters.remembering import Memories, Memory

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_reports_of_pods_that_are_gone_are_dropped() -> None:
    memory = Memory()
    memory.reports = {"a": report(), "b": report()}
    memory.asked = {"a": NOON, "b": NOON}
    memory.forget_all_but(["b", "c"])

    assert (set(memory.reports), set(memory.asked)) == ({"b"}, {"b"})


def test_a_look_may_learn_while_another_reads() -> None:
    memory = Memory()
    memory.learn({"a": NOON}, {"a": report()})
    reading = (iter(memory.asked), iter(memory.reports))

    memory.learn({"b": NOON}, {"b": report()})

    assert [list(each) for each in reading] == [["a"], ["a"]]
    assert set(memory.asked) == set(memory.reports) == {"a", "b"}


def test_each_run_has_a_memory_of_its_own_and_old_ones_fade() -> None:
    memories = Memories()
    first = memories.of(CLUSTER, "run-1")
    assert memories.of(CLUSTER, "run-1") is first
    assert memories.of(replace(CLUSTER, name="another"), "run-1") is not first

    for number in range(100):
        memories.of(CLUSTER, f"other-{number}")
    assert memories.of(CLUSTER, "run-1") is not first
