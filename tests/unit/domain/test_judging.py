"""When a warm-up is over, and how: checked over every look there can be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit import builders as a

from shared.domain.causes import Kind
from shared.domain.claims import cancelled
from shared.domain.judging import (
    QUICK_LOOK,
    SLOW_LOOK,
    Ending,
    KeepWaiting,
    Outcome,
    Watch,
    judge,
    refused,
)
from shared.domain.model import WarmupPlan
from shared.domain.observing import NodeStanding, NodeState
from shared.domain.planning import Grounds, plan_warmup
from shared.domain.progress import Observation
from shared.domain.refusals import Reason, Refusal

BEGAN = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NO_SUCCESS = (Outcome.FAILED, Outcome.CANCELLED)


def plan() -> WarmupPlan:
    planned = plan_warmup(
        Grounds(
            request=a.request(deadline_minutes=120),
            cluster=a.facts(),
            account=a.ACCOUNT,
            databases=(a.STAGED,),
            now=BEGAN,
        ),
        a.KUBELET,
    )
    assert isinstance(planned, WarmupPlan)
    return planned


def watch(minutes: float = 10, **changes: Any) -> Watch:
    plain: dict[str, Any] = {
        "deadline": plan().deadline,
        "allow_partial": False,
        "began": BEGAN,
        "rolled_out": BEGAN,
    }
    return Watch(**(plain | changes), now=BEGAN + timedelta(minutes=minutes))


def node(name: str, standing: NodeStanding, digest: str | None) -> NodeState:
    if standing is NodeStanding.FAILED:
        return a.broken(name)
    return a.state(name, standing=standing, report=a.report(digest=digest))


NODES = st.builds(
    node,
    st.from_regex(r"node[0-9]", fullmatch=True),
    st.sampled_from(NodeStanding),
    st.sampled_from([None, "ab" * 16, "cd" * 16]),
)
LOOKS = st.builds(
    lambda states, settled, by: a.seen(*states, settled=settled, cancelled_by=by),
    st.lists(NODES, max_size=5),
    st.booleans(),
    st.none() | st.just("user-oid"),
)
WATCHES = st.builds(
    lambda minutes, partial: watch(minutes, allow_partial=partial), st.floats(0, 300), st.booleans()
)


@given(WATCHES, LOOKS)
def test_nothing_is_waited_for_past_the_deadline_or_after_a_cancel(
    given_watch: Watch, look: Observation
) -> None:
    verdict = judge(given_watch, look)

    if isinstance(verdict, KeepWaiting):
        assert given_watch.now < given_watch.deadline
        assert look.stopped is None
        # Shorter timers fire at once on the real backend.
        assert timedelta(seconds=1) < verdict.pause <= timedelta(seconds=15)


@given(WATCHES, LOOKS)
def test_success_means_that_every_node_verified_the_same_bytes(given_watch: Watch, look: Observation) -> None:
    verdict = judge(given_watch, look)

    if isinstance(verdict, Ending) and verdict.outcome is Outcome.SUCCEEDED:
        (row,) = look.databases
        assert row.settled
        assert row.nodes_ready > 0
        assert row.nodes_active == 0
        assert len(row.digests) <= 1
        assert verdict.partial == (row.nodes_failed > 0)
        assert given_watch.allow_partial or not verdict.partial


@given(WATCHES, LOOKS)
def test_every_ending_but_full_success_tells_its_cause(given_watch: Watch, look: Observation) -> None:
    verdict = judge(given_watch, look)

    if isinstance(verdict, Ending):
        assert bool(verdict.error) == (verdict.outcome in NO_SUCCESS or verdict.partial)


@given(WATCHES, LOOKS)
def test_what_is_settled_and_has_no_active_node_is_over(given_watch: Watch, look: Observation) -> None:
    (row,) = look.databases

    if row.settled and not row.nodes_active:
        assert isinstance(judge(given_watch, look), Ending)


def test_the_deadline_itself_is_too_late() -> None:
    verdict = judge(watch(120), a.seen(a.copying("node0")))

    assert isinstance(verdict, Ending)
    assert "Gave up after 120 minutes with 1 nodes still at work." in verdict.error


def test_success_at_the_deadline_is_still_success() -> None:
    assert judge(watch(121), a.seen(a.state("node0"))) == Ending(outcome=Outcome.SUCCEEDED)


def test_a_cancel_outweighs_success() -> None:
    verdict = judge(watch(), a.seen(a.state("node0"), cancelled_by="user-oid"))

    assert verdict == Ending(outcome=Outcome.CANCELLED, error="cancelled by user-oid")


def test_one_bad_node_does_not_end_the_others_work() -> None:
    assert isinstance(judge(watch(), a.seen(a.broken("node0"), a.copying("node1"))), KeepWaiting)


def test_a_failure_begins_with_its_most_frequent_cause() -> None:
    verdict = judge(
        watch(), a.seen(a.broken("node0", Kind.NETWORK, "no route"), a.broken("node1"), a.broken("node2"))
    )

    assert isinstance(verdict, Ending)
    assert verdict.error.startswith("the disk is 3 GB short (on 2 nodes, node1 among them); ")


def test_partial_success_needs_a_warm_node() -> None:
    verdict = judge(watch(allow_partial=True), a.seen(a.broken("node0")))

    assert isinstance(verdict, Ending)
    assert verdict.outcome is Outcome.FAILED


def test_different_digests_are_no_success_even_where_partial_is_allowed() -> None:
    odd = a.state("node1", report=a.report(digest="cd" * 16))

    verdict = judge(watch(allow_partial=True), a.seen(a.state("node0"), odd))

    assert isinstance(verdict, Ending)
    assert verdict.error.startswith("nodes hold different bytes of core_nt")


@pytest.mark.parametrize(
    ("minutes", "look", "seconds"),
    [
        (0.1, a.seen(a.copying("node0")), 2),
        (10, a.seen(a.copying("node0")), 15),
        (10, a.seen(settled=False), 2),
        (10, a.seen(a.state("node0", standing=NodeStanding.ACTIVE, report=a.report(eta_seconds=3))), 2),
        (10, a.seen(a.state("node0", standing=NodeStanding.ACTIVE, report=None)), 15),
    ],
)
def test_looks_are_quick_at_first_and_near_the_end(minutes: float, look: Observation, seconds: int) -> None:
    assert judge(watch(minutes), look) == KeepWaiting(pause=timedelta(seconds=seconds))


def test_a_refusal_ends_with_its_sentence() -> None:
    refusal = Refusal(reason=Reason.NO_NODES, message="c1 has no node", remedy="scale it up")

    assert refused(refusal) == Ending(outcome=Outcome.FAILED, error="c1 has no node; scale it up")


def test_a_run_that_was_asked_to_end_did_not_fail() -> None:
    assert refused(cancelled("user-oid")) == Ending(outcome=Outcome.CANCELLED, error="cancelled by user-oid")


def test_looks_are_quick_at_first_from_the_roll_out_on_however_long_the_opening_took() -> None:
    look = a.seen(a.copying("node0", done=0))
    ages = {20: QUICK_LOOK, 40: SLOW_LOOK}

    for age, pause in ages.items():
        rolled_out = BEGAN + timedelta(minutes=10) - timedelta(seconds=age)
        assert judge(watch(rolled_out=rolled_out), look) == KeepWaiting(pause=pause)
