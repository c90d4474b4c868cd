"""What the world reads of a run: its keys, and that it stays small."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testkit import builders as a

from shared.domain.causes import Kind
from shared.domain.judging import Ending, Outcome, failed
from shared.domain.leases import NetworkState
from shared.domain.looking import MAX_FAILING_LOGS
from shared.domain.model import Database, RoleGrant, WarmupPlan
from shared.domain.observing import NodeState
from shared.domain.phases import Journal, Step
from shared.domain.planning import Grounds, plan_warmup
from shared.domain.progress import NodeLog, Observation, causes_of, glance, sum_up
from shared.domain.runs import Access, Run, Watching
from shared.domain.status import MAX_STATUS_CHARACTERS, custom_status, ended_run, opening_note, output

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CONTRACT_KEYS = {"phase", "db", "steps", "nodes_ready", "nodes_failed", "nodes_active", "total_jobs",
                 "causes", "logs"}  # fmt: skip
STEPS = ["enabling_storage", "configuring", "roles", "warming_up", "polling", "disable_storage"]
LONGEST_NAME = "n" * 128


def plan(*databases: Database) -> WarmupPlan:
    staged = tuple(replace(a.STAGED, database=database) for database in databases or (a.DATABASE,))
    grounds = Grounds(request=a.request(), cluster=a.facts(), account=a.ACCOUNT, databases=staged, now=NOON)
    planned = plan_warmup(grounds, a.KUBELET)
    assert isinstance(planned, WarmupPlan)
    return planned


def journal(last: Step) -> Journal:
    told = Journal()
    for step in STEPS[: STEPS.index(last.value) + 1]:
        told = told.begin(Step(step), NOON)
    return told


def watched(look: Observation | None, grants: tuple[RoleGrant, ...] = (), **changes: Any) -> Run:
    return Run(
        request=a.request(**changes),
        started_at=NOON,
        journal=journal(Step.POLLING),
        grants=grants,
        watching=Watching(plan=plan(), looks=7, last=look),
    )


def characters(status: dict[str, object]) -> int:
    """As the Azure Storage backend counts them."""
    return len(json.dumps(status, ensure_ascii=False).encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    "run",
    [
        a.run(),
        watched(None),
        watched(a.seen(a.state("node0"), a.broken("node1"), a.copying("node2"))),
        watched(a.seen()),
    ],
)
def test_every_key_that_the_dashboard_reads_is_there_from_the_first(run: Run) -> None:
    status = custom_status(run)

    assert set(status) >= CONTRACT_KEYS
    assert list(status["steps"]) == STEPS  # type: ignore[call-overload] # an object in JSON


def test_a_status_in_mid_copy_reads_as_the_contract_says() -> None:
    look = a.seen(a.state("node0"), a.broken("node1"), a.copying("node2", done=65_000_000))
    granted = RoleGrant(role="Storage Blob Data Reader", scope="/s", outcome="granted")

    status: Any = custom_status(watched(look, (granted,)))

    assert (status["phase"], status["db"]) == ("warming_up", "core_nt")
    assert [status[key] for key in ("nodes_ready", "nodes_failed", "nodes_active", "total_jobs")] == [
        1,
        1,
        1,
        3,
    ]
    assert status["steps"]["roles"]["roles_assigned"] == ["Storage Blob Data Reader"]
    assert {key: status["steps"]["warming_up"][key] for key in ("ready", "total", "poll_attempt")} == {
        "ready": 1,
        "total": 3,
        "poll_attempt": 7,
    }
    assert status["steps"]["polling"]["attempts"] == 7
    assert status["causes"] == [
        {
            "kind": "disk_full",
            "message": "the disk is 3 GB short",
            "remedy": "release databases that are not needed, or use nodes with larger disks",
            "count": 1,
            "node": "node1",
        }
    ]


def test_a_role_that_was_refused_is_shown_with_its_remedy_and_not_as_assigned() -> None:
    denied = RoleGrant(role="AcrPull", scope="/s", outcome="refused", remedy="az role assignment create …")

    status: Any = custom_status(watched(a.seen(), (denied,)))

    assert status["steps"]["roles"]["roles_assigned"] == []
    assert status["steps"]["roles"]["results"] == [{"role": "AcrPull", "outcome": "refused"}]
    assert status["steps"]["roles"]["remedies"] == ["az role assignment create …"]


def test_a_role_that_is_left_to_somebody_else_is_told_and_not_as_assigned() -> None:
    left = RoleGrant(role="AcrPull", scope="acr", outcome="left_to_owner")

    status: Any = custom_status(watched(a.seen(), (left,)))

    assert status["steps"]["roles"]["roles_assigned"] == []
    assert status["steps"]["roles"]["results"] == [{"role": "AcrPull", "outcome": "left_to_owner"}]
    assert "remedies" not in status["steps"]["roles"]


def crowd(count: int, text: str) -> list[NodeState]:
    """Failing nodes of every kind of cause, with as much to say as they are allowed."""
    kinds = list(Kind)
    return [
        a.broken(f"aks-blastpool-12345678-vmss{n:06d}", kinds[n % len(kinds)], text) for n in range(count)
    ]


def crowded(count: int, text: str, databases: tuple[Database, ...] = (a.DATABASE,)) -> Observation:
    states = tuple(crowd(count, text))
    logs = tuple(
        NodeLog(node=s.node, state="failed", lines=(text[:400],) * 20, retrying=(text[:400],) * 3)
        for s in states[:40]
    )
    rows = tuple(sum_up(db, states, settled=True, bytes_per_node=1 << 40) for db in databases)
    glances = tuple(
        one for db in databases for one in glance(db, states, datetime(2026, 5, 1, 12, 5, tzinfo=UTC))
    )
    remedied = tuple(replace(cause, remedy=text[:300]) for cause in causes_of("core_nt", states))
    return Observation(at=NOON, databases=rows, causes=remedied, logs=logs, glances=glances)


@pytest.mark.parametrize("text", ["x" * 400, '"\\\n' * 133, "\U0001f9ec" * 400, "\x01" * 400])
@pytest.mark.parametrize("databases", [1, 16])
def test_a_thousand_nodes_with_much_to_say_stay_within_the_limit(text: str, databases: int) -> None:
    names = tuple(Database(name=f"{LONGEST_NAME[:-2]}{n:02d}", folder="f") for n in range(databases))
    remedies = tuple(
        RoleGrant(role="AcrPull", scope="/s", outcome="refused", remedy="az " + "r" * 400) for _ in range(2)
    )
    run = watched(crowded(1000, text, names), remedies, databases=names)

    status = custom_status(run)

    assert characters(status) <= MAX_STATUS_CHARACTERS
    assert set(status) >= CONTRACT_KEYS
    assert status["nodes_failed"] == 1000 * databases


def test_with_room_enough_nothing_is_left_out() -> None:
    look = replace(
        a.seen(a.broken("node0"), a.copying("node1")),
        logs=(NodeLog(node="node0", state="failed", lines=("one", "two")),),
    )

    status: Any = custom_status(watched(look))

    assert status["logs"] == [{"node": "node0", "state": "failed", "lines": ["one", "two"]}]
    assert [node["node"] for node in status["nodes"]] == ["node0", "node1"]
    assert [database["name"] for database in status["databases"]] == ["core_nt"]


def test_a_log_of_each_cause_leaves_room_for_the_node_that_is_at_work() -> None:
    failing = [NodeLog(node=f"node{n}", state="failed", lines=("killed",)) for n in range(MAX_FAILING_LOGS)]
    busy = NodeLog(node="node9", state="active", lines=("volume 7 of 12",))

    status: Any = custom_status(watched(replace(a.seen(a.copying("node9")), logs=(*failing, busy))))

    assert status["logs"][-1] == {"node": "node9", "state": "active", "lines": ["volume 7 of 12"]}


def test_what_a_new_attempt_says_stands_beside_how_the_last_one_failed() -> None:
    log = NodeLog(node="node0", state="active", lines=("one", "killed"), retrying=("checking",))
    status: Any = custom_status(watched(replace(a.seen(a.broken("node0")), logs=(log,))))

    assert status["logs"] == [
        {"node": "node0", "state": "active", "lines": ["one", "killed"], "retrying": ["checking"]}
    ]


def test_as_much_is_shown_as_fits() -> None:
    status: Any = custom_status(watched(crowded(1000, "x" * 120)))

    assert status["logs"]
    assert status["causes"]
    assert characters(status) > MAX_STATUS_CHARACTERS / 4


@pytest.mark.parametrize(
    ("ending", "phase"),
    [
        (Ending(outcome=Outcome.SUCCEEDED), "completed"),
        (Ending(outcome=Outcome.PLANNED), "completed"),
        (Ending(outcome=Outcome.CANCELLED, error="cancelled by x"), "failed"),
        (failed("it broke"), "failed"),
    ],
)
def test_an_ending_is_the_last_phase(ending: Ending, phase: str) -> None:
    assert custom_status(watched(a.seen(a.state())), ending=ending)["phase"] == phase


def test_the_output_of_a_failure_begins_with_its_cause() -> None:
    result = output(watched(a.seen(a.broken("node0"))), failed("the disk is 3 GB short (on node0); free it"))

    assert result["status"] == "failed"
    assert str(result["error"]).startswith("the disk is 3 GB short")
    assert {"db", "cluster", "steps", "nodes_failed"} <= set(result)


def test_the_output_of_success_tells_what_is_on_the_nodes() -> None:
    result = output(watched(a.seen(a.state())), Ending(outcome=Outcome.SUCCEEDED))

    assert "error" not in result
    assert "partial" not in result
    assert (result["node_count"], result["bytes_per_node"]) == (3, a.STAGED.bytes)
    assert result["generations"] == [
        {
            "name": "core_nt",
            "generation": "a1b2c3d4e5f60718",
            "source_version": "2026-04-01-01-05-01",
            "files": 26,
            "bytes": 130_000_000,
            "volumes": 5,
            "molecule": "nucl",
        }
    ]


def test_partial_success_is_labelled() -> None:
    ending = Ending(outcome=Outcome.SUCCEEDED, partial=True, error="the disk is short")

    assert output(watched(a.seen(a.state())), ending)["partial"] is True


def test_a_run_that_ended_before_it_watched_has_an_output_too() -> None:
    result = output(a.run(), failed("cluster 'c' is stopped; start it"))

    assert (result["status"], result["nodes_ready"], "generations" in result) == ("failed", 0, False)


def test_the_log_keeps_the_figures_of_the_ending() -> None:
    run = watched(a.seen(a.state("node0"), a.state("node1")))

    ended = ended_run(run, "run1", failed("x" * 9_000), timedelta(minutes=2).total_seconds())

    assert (ended.status, ended.databases, ended.seconds) == ("failed", "core_nt", 120.0)
    assert (ended.bytes_fetched, len(ended.error)) == (2 * a.STAGED.bytes, 2_000)


def test_a_run_that_never_looked_fetched_nothing() -> None:
    assert ended_run(a.run(), "run1", failed("no"), 0.0).bytes_fetched == 0


@pytest.mark.parametrize(
    ("state", "note"),
    [
        ("Enabled", "blastdata was open already"),
        ("Disabled", "blastdata was closed; it is closed again when the last run has ended"),
    ],
)
def test_the_opening_is_told_as_it_was_found(state: str, note: str) -> None:
    before = NetworkState(public_network_access=state, default_action="Allow", rules="{}")

    opened = Access(account=a.ACCOUNT, before=before, would_open=not before.is_public)
    assert opening_note(a.request(), opened) == note


def test_a_closed_account_that_nobody_opens_is_told_as_that() -> None:
    before = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")

    note = opening_note(a.request(), Access(account=a.ACCOUNT, before=before, would_open=False))
    assert note == "blastdata needs no opening, and stays as it is"


@pytest.mark.parametrize(
    ("would_open", "note"), [(True, "blastdata would be opened first"), (False, "blastdata needs no opening")]
)
def test_a_dry_run_tells_what_it_left_closed(*, would_open: bool, note: str) -> None:
    before = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
    access = Access(account=a.ACCOUNT, before=before, would_open=would_open)

    assert opening_note(a.request(dry_run=True), access) == note


def test_a_planned_ending_tells_what_would_be_opened_and_granted_and_how_long_it_may_take() -> None:
    there = RoleGrant(role="AcrPull", scope="warmacr", outcome="present")
    lacking = RoleGrant(role="Storage Blob Data Reader", scope="blastdata", outcome="lacking")
    run = watched(None, (there, lacking), dry_run=True, max_mbps_per_node=10)

    result = output(run, Ending(outcome=Outcome.PLANNED, would_open=("blastdata",)))

    assert result["would_open"] == ["blastdata"]
    assert result["would_grant"] == ["Storage Blob Data Reader on blastdata"]
    assert result["eta_seconds"] == math.ceil(a.STAGED.bytes / 8_000_000)


def test_only_a_planned_ending_tells_intentions() -> None:
    assert "would_open" not in output(watched(a.seen(a.state("node0"))), Ending(outcome=Outcome.SUCCEEDED))
