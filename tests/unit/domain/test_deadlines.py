"""How long a run may take, from the bytes and from the rate that its nodes measure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from testkit import builders as a

from shared.domain.deadlines import deadline_after
from shared.domain.model import WarmupPlan
from shared.domain.observing import NodeStanding
from shared.domain.planning import LONGEST_STRETCH, Grounds, plan_warmup
from shared.domain.progress import Observation

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CORE_NT_BYTES = 283_000_000_000


def plan(minutes: int | None = None, size: int = CORE_NT_BYTES) -> WarmupPlan:
    planned = plan_warmup(
        Grounds(
            request=a.request(deadline_minutes=minutes),
            cluster=a.facts(),
            account=a.ACCOUNT,
            databases=(replace(a.STAGED, bytes=size),),
            now=NOON,
        ),
        a.KUBELET,
    )
    assert isinstance(planned, WarmupPlan)
    return planned


def look(minutes: float, done: int, eta_seconds: int | None = None) -> Observation:
    busy = a.report(phase="copying", bytes_done=done, eta_seconds=eta_seconds, digest=None)
    state = a.state(standing=NodeStanding.ACTIVE, report=busy, running=True)
    return replace(a.seen(state), at=NOON + timedelta(minutes=minutes))


def test_a_slow_run_that_gets_on_is_given_the_time_its_rate_needs() -> None:
    core_nt = plan()

    later = deadline_after(core_nt, core_nt.deadline, look(119, 10), look(120, 20, eta_seconds=3_600))

    assert later >= NOON + timedelta(minutes=120 + 90)


def test_a_run_that_stands_still_is_given_nothing() -> None:
    core_nt = plan()

    assert deadline_after(core_nt, core_nt.deadline, look(119, 20, 3_600), look(120, 20, 3_600)) == (
        core_nt.deadline
    )


def test_the_first_look_has_nothing_to_be_compared_with() -> None:
    assert deadline_after(plan(), plan().deadline, None, look(120, 20, 3_600)) == plan().deadline


def test_after_the_last_byte_there_is_time_to_read_it_all_back() -> None:
    core_nt = plan()

    later = deadline_after(core_nt, core_nt.deadline, look(119, 10), look(125, 20))

    assert later >= NOON + timedelta(minutes=125) + timedelta(seconds=CORE_NT_BYTES / 125_000_000)


def test_the_operators_deadline_is_final() -> None:
    ordered = plan(minutes=45)

    assert deadline_after(ordered, ordered.deadline, look(40, 10), look(44, 20, 3_600)) == ordered.deadline
    assert ordered.deadline == NOON + timedelta(minutes=45)


@given(
    st.integers(0, 10**13),
    st.lists(st.tuples(st.integers(0, 100), st.none() | st.integers(0, 10**7)), max_size=20),
)
def test_a_deadline_never_falls_and_never_passes_the_latest(
    size: int, steps: list[tuple[int, int | None]]
) -> None:
    planned = plan(size=min(size, CORE_NT_BYTES))  # four times its two hours are less than the longest run
    assert planned.latest_deadline is not None
    assert planned.latest_deadline - NOON == LONGEST_STRETCH * (planned.deadline - NOON)
    deadline, before, done = planned.deadline, None, 0
    for number, (more, eta) in enumerate(steps):
        done += more
        seen = look(number * 30, done, eta)
        moved = deadline_after(planned, deadline, before, seen)
        assert deadline <= moved <= planned.latest_deadline
        deadline, before = moved, seen
