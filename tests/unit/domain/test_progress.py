"""One look summed up: counts that add up, bytes that never exceed their total and never fall."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from testkit import builders as a

from shared.domain.causes import Kind, cause_of
from shared.domain.model import Database
from shared.domain.observing import NodeStanding, NodeState
from shared.domain.progress import (
    MAX_DIGESTS,
    MAX_GLANCES,
    DatabaseProgress,
    Observation,
    believed,
    causes_of,
    glance,
    sum_up,
)

PER_NODE = 1_000
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
COUNTS = st.integers(0, 1 << 60)
REPORTS = st.builds(
    a.report,
    phase=st.sampled_from(["copying", "verifying", "ready", ""]),
    bytes_done=COUNTS,
    bytes_fetched=COUNTS,
    bytes_per_second=COUNTS,
    eta_seconds=st.none() | COUNTS,
    digest=st.sampled_from([None, "ab" * 16, "cd" * 16, "ef" * 16, "01" * 16]),
)
STATES = st.builds(
    a.state,
    st.from_regex(r"node[0-9]{1,3}", fullmatch=True),
    standing=st.sampled_from(NodeStanding),
    report=st.none() | REPORTS,
    running=st.booleans(),
    cause=st.none() | st.builds(cause_of, st.sampled_from(Kind), st.text(max_size=9), st.just("n")),
)
ROWS = st.lists(STATES, max_size=20).map(tuple)


def summed(states: tuple[NodeState, ...], *, settled: bool = True) -> DatabaseProgress:
    return sum_up(a.DATABASE, states, settled=settled, bytes_per_node=PER_NODE)


def looked(*rows: DatabaseProgress, **changes: Any) -> Observation:
    plain: dict[str, Any] = {
        "at": datetime(2026, 5, 1, tzinfo=UTC),
        "databases": rows,
        "causes": (),
        "logs": (),
        "glances": (),
    }
    return Observation(**(plain | changes))


@given(ROWS)
def test_every_node_is_counted_exactly_once(states: tuple[NodeState, ...]) -> None:
    row = summed(states)

    assert row.nodes_ready + row.nodes_failed + row.nodes_active == row.nodes_total == len(states)


@given(ROWS)
def test_bytes_never_exceed_their_total(states: tuple[NodeState, ...]) -> None:
    row = summed(states)

    assert 0 <= row.bytes_done <= row.bytes_total == PER_NODE * len(states)


@given(ROWS)
def test_only_ready_nodes_speak_for_a_digest(states: tuple[NodeState, ...]) -> None:
    spoken = {s.report.digest for s in states if s.report and s.standing is NodeStanding.READY} - {None}

    row = summed(states)

    assert set(row.digests) <= spoken
    assert len(row.digests) == min(MAX_DIGESTS, len(spoken))


@given(ROWS)
def test_the_slowest_node_tells_the_time_left(states: tuple[NodeState, ...]) -> None:
    etas = [s.report.eta_seconds for s in states if s.report and s.report.eta_seconds is not None]

    assert summed(states).eta_seconds == (max(etas) if etas else None)


@given(ROWS)
def test_only_running_nodes_have_a_rate(states: tuple[NodeState, ...]) -> None:
    rates = [s.report.bytes_per_second for s in states if s.report and s.running]

    assert summed(states).bytes_per_second == sum(rates)


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_byte_counts_never_fall_while_the_nodes_are_the_same(looks: list[tuple[NodeState, ...]]) -> None:
    shown: Observation | None = None
    for states in looks:
        earlier, shown = shown, looked(summed(states)).not_behind(shown)
        row = shown.databases[0]
        assert row.bytes_done <= row.bytes_total
        if earlier is not None and earlier.databases[0].nodes_total == row.nodes_total:
            assert row.bytes_done >= earlier.databases[0].bytes_done
            assert row.bytes_fetched >= earlier.databases[0].bytes_fetched


def test_a_node_that_joins_makes_another_total_with_its_own_count() -> None:
    two = looked(summed((a.copying("node0", 900), a.copying("node1", 900))))
    three = looked(summed((a.copying("node0", 900), a.copying("node1"), a.copying("node2"))))

    assert three.not_behind(two).databases[0].bytes_done == 900


def test_another_databases_bytes_are_no_reason_to_hold_on() -> None:
    other = sum_up(
        Database(name="nt", folder="nt"), (a.copying("node0", 900),), settled=True, bytes_per_node=PER_NODE
    )

    assert looked(summed((a.copying("node0", 5),))).not_behind(looked(other)).databases[0].bytes_done == 5


def test_the_first_look_is_taken_as_it_is() -> None:
    look = looked(summed((a.copying("node0", 5),)))

    assert look.not_behind(None) is look


def test_a_look_is_settled_when_every_database_is() -> None:
    assert looked(summed(()), summed(())).settled
    assert not looked(summed(()), summed((), settled=False)).settled


def test_a_figure_is_summed_over_databases() -> None:
    row = summed((a.state("node0"), a.state("node1")))

    assert looked(row, row).total(lambda p: p.nodes_ready) == 4


@given(st.lists(STATES, max_size=40))
def test_failed_nodes_are_shown_before_others(states: list[NodeState]) -> None:
    shown = glance(a.DATABASE, states, NOW)

    failed = sum(state.standing is NodeStanding.FAILED for state in believed(states))
    assert len(shown) == min(MAX_GLANCES, len(states))
    assert sum(g.standing is NodeStanding.FAILED for g in shown) == min(MAX_GLANCES, failed)
    assert [g.node for g in shown] == sorted(g.node for g in shown)


def test_a_node_without_a_report_is_starting() -> None:
    (shown,) = glance(a.DATABASE, (a.state(report=None, standing=NodeStanding.ACTIVE),), NOW)

    assert (shown.phase, shown.bytes_done, shown.eta_seconds, shown.seconds) == ("starting", 0, None, 0.0)


def test_causes_are_those_of_nodes_that_have_one() -> None:
    (cause,) = causes_of("core_nt", (a.state("node0"), a.broken("node1"), a.broken("node2")))

    assert (cause.kind, cause.count, cause.node) == (Kind.DISK_FULL, 2, "node1")


def test_ready_nodes_that_hold_other_bytes_than_most_are_the_first_cause() -> None:
    odd = a.state("node2", report=a.report(digest="cd" * 16))
    states = (a.state("node0"), a.state("node1"), odd, a.broken("node3"), a.broken("node4"))

    differing, short = causes_of("core_nt", states)

    assert (differing.kind, differing.count, differing.node) == (Kind.DIGESTS_DIFFER, 1, "node2")
    assert differing.sentence.startswith("nodes hold different bytes of core_nt, the rarest (on node2); ")
    assert (short.kind, short.count) == (Kind.DISK_FULL, 2)


def test_nodes_that_are_not_ready_disagree_with_nobody() -> None:
    busy = a.state("node1", standing=NodeStanding.ACTIVE, report=a.report(digest="cd" * 16))

    assert causes_of("core_nt", (a.state("node0"), busy, a.state("node2", report=None))) == ()


def test_nodes_that_disagree_are_all_failed_since_nobody_knows_which_is_right() -> None:
    odd = a.state("node2", report=a.report(digest="cd" * 16))
    states = (a.state("node0"), odd, a.copying("node3"))

    row = summed(states)

    assert (row.nodes_ready, row.nodes_failed, row.nodes_active, len(row.digests)) == (0, 2, 1, 2)
    assert [line.standing for line in glance(a.DATABASE, states, NOW)] == [
        NodeStanding.FAILED,
        NodeStanding.FAILED,
        NodeStanding.ACTIVE,
    ]


def test_a_node_that_another_instance_has_not_heard_yet_shows_what_it_said_last() -> None:
    unheard = a.state("node0", standing=NodeStanding.ACTIVE, report=None, running=True)
    said = a.report(phase="copying", bytes_done=65, digest=None, updated_at=NOW)
    first = a.seen(replace(unheard, report=said))
    later = replace(a.seen(unheard), at=first.at + timedelta(seconds=20))
    last = replace(a.seen(unheard), at=first.at + timedelta(seconds=35)).not_behind(later.not_behind(first))

    (shown,) = last.glances
    assert (shown.phase, shown.bytes_done) == ("copying", 65)
    assert shown.age_seconds is not None
    assert first.glances[0].age_seconds == shown.age_seconds - 35
    (failed,) = a.seen(replace(unheard, standing=NodeStanding.FAILED)).not_behind(first).glances
    assert failed.standing is NodeStanding.FAILED
    (begins_anew,) = a.seen(replace(unheard, running=False)).not_behind(first).glances
    assert (begins_anew.phase, begins_anew.bytes_done) == ("starting", 0)


def test_an_instance_that_has_not_heard_all_nodes_leaves_the_rate_as_it_was() -> None:
    both = a.seen(_at(100, "node0"), _at(100, "node1"))
    unheard = replace(_at(0, "node1"), report=None)
    fewer = a.seen(_at(100, "node0"), unheard).not_behind(both)

    assert fewer.total(lambda p: p.bytes_per_second) == 200
    assert fewer.not_behind(fewer).total(lambda p: p.bytes_per_second) == 200
    assert (
        a.seen(_at(70, "node0"), _at(70, "node1")).not_behind(fewer).total(lambda p: p.bytes_per_second)
        == 140
    )


def _at(rate: int, node: str) -> NodeState:
    return replace(a.copying(node, done=5), report=a.report(phase="copying", bytes_per_second=rate))


def test_figures_are_as_old_as_the_agent_says() -> None:
    said = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    busy = replace(a.copying("node0"), report=a.report(phase="copying", updated_at=said))
    (shown,) = glance(a.DATABASE, [busy], said + timedelta(seconds=48))
    (skewed,) = glance(a.DATABASE, [busy], said - timedelta(seconds=2))
    (over,) = glance(a.DATABASE, [a.state("node0", report=a.report(updated_at=said))], said)

    assert (shown.age_seconds, skewed.age_seconds, over.age_seconds) == (48, 0, None)
