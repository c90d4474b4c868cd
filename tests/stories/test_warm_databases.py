"""The story of a warm-up, told to each of its endings."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from testkit import builders as a
from testkit.telling import NOON, tell
from testkit.world_answers import ALL_BUSY, ALL_READY, MAX_ROWS, REFUSAL, answers, in_turn

from orchestrators.steps import LOOKS_PER_HISTORY
from shared.domain.causes import Kind
from shared.domain.model import Database, Mode, OnFailure, RoleGrant
from shared.domain.observing import NodeStanding
from shared.domain.reporting import AgentReport
from shared.domain.runs import Probe
from shared.domain.status import MAX_STATUS_CHARACTERS


def _busy(done: int, rate: int, eta: int) -> AgentReport:
    return a.report(phase="copying", bytes_done=done, bytes_per_second=rate, eta_seconds=eta, digest=None)


def test_success_is_told_when_every_node_is_ready() -> None:
    told = tell(a.run(), answers(ALL_BUSY, ALL_READY))

    assert told.output["status"] == "succeeded"
    assert (told.output["nodes_ready"], told.output["total_jobs"]) == (3, 3)
    assert told.called == [
        "read_cluster",
        "open_access",
        "probe_access",
        "describe_database",
        "grant_roles",
        "apply_daemonset",
        "observe_nodes",
        "observe_nodes",
        "close_access",
        "release_claims",
        "record_ending",
    ]


def test_all_six_steps_are_shown_from_the_first_moment() -> None:
    told = tell(a.run(), answers())

    assert list(told.statuses[0]["steps"]) == [
        "enabling_storage",
        "configuring",
        "roles",
        "warming_up",
        "polling",
        "disable_storage",
    ]
    assert all(step["done"] and step["completed_at"] for step in told.output["steps"].values())


def test_counts_are_there_whenever_the_phase_is_warming_up() -> None:
    told = tell(a.run(), answers(ALL_BUSY, ALL_BUSY, ALL_READY))
    shown = [status for status in told.statuses if status["phase"] == "warming_up"]

    assert shown
    assert all(isinstance(status["steps"]["warming_up"]["ready"], int) for status in shown)
    assert all(isinstance(status["steps"]["warming_up"]["total"], int) for status in shown)


def test_a_failed_node_does_not_hide_behind_the_others() -> None:
    look = a.seen(a.state("node0"), a.state("node1"), a.broken("node2"))
    told = tell(a.run(), answers(look))

    assert told.output["status"] == "failed"
    assert told.error.startswith("the disk is 3 GB short (on node2)")
    assert told.called[-4:] == ["close_access", "retire_daemonsets", "release_claims", "record_ending"]


def test_partial_success_is_labelled_and_only_where_asked_for() -> None:
    look = a.seen(a.state("node0"), a.state("node1"), a.broken("node2"))
    told = tell(a.run(allow_partial=True), answers(look))

    assert (told.output["status"], told.output["partial"]) == ("succeeded", True)
    assert told.called[-3] == "keep_warm_nodes"  # the pod of the failed node would fail for ever
    assert told.output["nodes_kept"] == 2


@pytest.mark.parametrize("cancelled_by", [None, "user-oid"])
def test_what_is_warm_stays_where_that_was_asked_for(cancelled_by: str | None) -> None:
    look = a.seen(a.state("node0"), a.state("node1"), a.broken("node2"), cancelled_by=cancelled_by)
    told = tell(a.run(on_failure=OnFailure.KEEP), answers(look))

    assert told.output["status"] == ("cancelled" if cancelled_by else "failed")
    assert told.output["nodes_kept"] == 2
    assert told.called[-4:] == ["close_access", "keep_warm_nodes", "release_claims", "record_ending"]


def test_a_rollout_that_was_refused_keeps_nothing() -> None:
    told = tell(a.run(on_failure=OnFailure.KEEP), answers(apply_daemonset=REFUSAL))

    assert "retire_daemonsets" in told.called
    assert "keep_warm_nodes" not in told.called


def test_nodes_with_different_bytes_fail_the_run() -> None:
    odd = a.state("node1", report=a.report(digest="cd" * 16))
    told = tell(a.run(), answers(a.seen(a.state("node0"), odd)))

    assert (told.output["status"], told.output["nodes_failed"]) == ("failed", 2)
    assert told.error.startswith("nodes hold different bytes")


def test_no_node_left_is_a_failure_that_is_explained() -> None:
    told = tell(a.run(), answers(a.seen()))

    assert told.output["status"] == "failed"
    assert told.error.startswith("no node is left to warm")


def test_counts_of_an_unsettled_daemonset_prove_nothing() -> None:
    told = tell(a.run(), answers(a.seen(settled=False), ALL_READY))

    assert told.output["status"] == "succeeded"
    assert told.called.count("observe_nodes") == 2


def test_cancelling_ends_within_one_look_and_closes_everything() -> None:
    told = tell(a.run(), answers(ALL_BUSY, a.seen(a.copying("node0"), cancelled_by="user-oid")))

    assert told.output["status"] == "cancelled"
    assert told.called[-4:] == ["close_access", "retire_daemonsets", "release_claims", "record_ending"]


@pytest.mark.parametrize(
    "where",
    ["read_cluster", "open_access", "probe_access", "describe_database", "grant_roles"],
)
def test_what_fails_for_good_ends_the_run_and_closes_the_account(where: str) -> None:
    told = tell(a.run(), answers(**{where: RuntimeError("ARM said 503 four times")}))

    assert told.output["status"] == "failed"
    assert told.error == "ARM said 503 four times"
    assert ("close_access" in told.called) == (where != "read_cluster")


def test_a_cluster_that_is_silent_for_some_minutes_ends_nothing() -> None:
    silence: list[Any] = [RuntimeError("the API server does not answer")] * 20
    told = tell(a.run(), answers(observe_nodes=in_turn((ALL_BUSY, *silence, ALL_READY))))

    assert told.output["status"] == "succeeded"
    shown = [status["unseen"] for status in told.statuses if "unseen" in status]
    assert {reason["reason"] for reason in shown} == {"the API server does not answer"}
    assert "unseen" not in told.output


def test_a_cluster_that_stays_silent_ends_the_run_with_its_cause() -> None:
    told = tell(a.run(), answers(observe_nodes=RuntimeError("the API server does not answer")))

    assert told.error == "the API server does not answer; nothing was seen of the nodes for 10 minutes"
    assert "close_access" in told.called


def test_one_call_of_several_that_fails_in_passing_is_made_again() -> None:
    busy = iter([RuntimeError("ARM said 503"), RuntimeError("ARM said 503")])
    told = tell(a.run(), answers(describe_database=lambda _given: next(busy, a.STAGED)))

    assert told.output["status"] == "succeeded"
    assert told.called.count("describe_database") == 3


def test_what_cannot_be_wound_up_is_left_to_the_janitor_and_said() -> None:
    told = tell(a.run(), answers(close_access=RuntimeError("the account is locked")))

    assert told.output["status"] == "succeeded"
    assert "the account is locked" in told.output["steps"]["disable_storage"]["note"]


@pytest.mark.parametrize("last_try", [1, 2, 3])
@pytest.mark.parametrize("blocked", [0, 2, 5])
@pytest.mark.parametrize("busy", [0, 7, 20, 40, 58, 59, 60, 70])
def test_where_every_try_is_needed_every_history_is_short(busy: int, blocked: int, last_try: int) -> None:
    many = tuple(Database(name=f"db{n:02}", folder="f") for n in range(16))
    tries: Counter[str] = Counter()

    def at_the_last_try(name: str, answer: object) -> Callable[[Any], Any]:
        def perform(value: Any) -> Any:
            tries[name] += 1
            if tries[name] % len(many) == 0 and tries[name] < last_try * len(many):
                return RuntimeError("no answer")
            return answer(value) if callable(answer) else answer

        return perform

    closed = iter([Probe(outcome="blocked")] * blocked)
    plain = answers(
        *[ALL_BUSY] * busy, ALL_READY, probe_access=lambda _given: next(closed, Probe(outcome="reachable"))
    )
    slow = {name: at_the_last_try(name, plain[name]) for name in ("describe_database", "apply_daemonset")}
    told = tell(a.run(databases=many, mode=Mode.VERIFY), plain | slow, every_try=True)

    assert told.output["status"] == "succeeded"
    assert tries == dict.fromkeys(("describe_database", "apply_daemonset"), 16 * last_try)
    assert told.called.count("probe_access") == blocked + 1
    assert max(told.rows_per_history) <= MAX_ROWS, told.rows_per_history


def test_two_hours_of_watching_keep_every_history_short() -> None:
    told = tell(a.run(deadline_minutes=120), answers(ALL_BUSY))

    assert told.output["status"] == "failed"
    assert "Gave up after 120 minutes" in told.error
    assert max(told.rows_per_history) <= MAX_ROWS
    assert told.called.count("observe_nodes") > LOOKS_PER_HISTORY


def test_a_slow_run_that_gets_on_outlives_the_deadline_it_was_planned_with() -> None:
    looks = (
        replace(a.seen(a.copying("node0", done=n)), at=NOON + n * timedelta(seconds=15)) for n in range(300)
    )
    told = tell(a.run(), answers(*looks, a.seen(a.state("node0"))))
    deadlines = [status["deadline"] for status in told.statuses if "deadline" in status]

    assert told.output["status"] == "succeeded"
    assert deadlines == sorted(deadlines)
    assert deadlines[0] < deadlines[-1] <= told.output["latest_deadline"]


def test_a_run_that_stands_still_ends_when_it_was_planned_to() -> None:
    told = tell(a.run(), answers(ALL_BUSY))

    assert "Gave up after 30 minutes" in told.error


def test_the_time_left_is_a_range_up_to_the_slowest_node() -> None:
    quick = a.state(
        "node0",
        standing=NodeStanding.ACTIVE,
        running=True,
        report=_busy(done=a.STAGED.bytes - 60, rate=10, eta=6),
    )
    slow = a.state(
        "node1",
        standing=NodeStanding.ACTIVE,
        running=True,
        report=_busy(done=a.STAGED.bytes - 160, rate=1, eta=120),
    )
    told = tell(a.run(), answers(a.seen(quick, slow), ALL_READY))
    shown = next(status for status in told.statuses if status.get("eta_seconds") is not None)

    low, high = shown["eta_range_seconds"]
    assert low <= high == shown["eta_seconds"] == 120
    assert low == 20


def test_byte_counts_never_fall_even_when_a_log_falls_silent() -> None:
    far = a.seen(a.copying("node0", done=100_000))
    near = a.seen(a.copying("node0", done=50))
    told = tell(a.run(), answers(far, near, a.seen(a.state("node0"))))
    counts = [status["bytes_done"] for status in told.statuses if "bytes_done" in status]

    assert counts == sorted(counts)


def test_a_status_of_a_thousand_failing_nodes_stays_small() -> None:
    states = [a.broken(f"aks-blastpool-12345678-vmss{n:06d}", kind=list(Kind)[n % 12]) for n in range(1000)]
    told = tell(a.run(), answers(a.seen(*states)))

    assert max(len(str(status).encode("utf-16-le")) // 2 for status in told.statuses) <= 6_500
    assert told.output["nodes_failed"] == 1000


def test_however_much_is_left_over_the_status_stays_small() -> None:
    many = tuple(Database(name=f"db{n:02}" + "x" * 120, folder="f") for n in range(16))
    silence = RuntimeError("nobody answers " + "y" * 600)
    told = tell(
        a.run(databases=many, mode=Mode.VERIFY), answers(stop_verifying=silence, close_access=silence)
    )

    assert told.output["status"] == "succeeded"
    note = told.output["steps"]["disable_storage"]["note"]
    assert "stop_verifying is left to the janitor" in note
    assert "close_access is left to the janitor" in note
    assert max(len(json.dumps(status)) for status in told.statuses) <= MAX_STATUS_CHARACTERS


def test_a_role_that_was_refused_is_told_before_the_first_look_and_where_the_roll_out_fails() -> None:
    denied = RoleGrant(role="AcrPull", scope="/s", outcome="refused", remedy="az role assignment create")
    told = tell(a.run(), answers(grant_roles=(denied,), apply_daemonset=REFUSAL))

    shown = [status["steps"] for status in told.statuses if "remedies" in status["steps"]["roles"]]
    assert "started_at" not in shown[0]["disable_storage"]
    assert told.output["steps"]["roles"]["remedies"] == [denied.remedy]


def test_rules_that_could_not_be_written_back_are_told_to_the_operator() -> None:
    told = tell(a.run(), answers(close_access=("/subnets/gone",)))

    assert told.output["status"] == "succeeded"
    note = told.output["steps"]["disable_storage"]["note"]
    assert note.startswith("rules for these subnets could not be written back, add them again")
    assert "/subnets/gone" in note
