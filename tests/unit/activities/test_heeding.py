"""What the hands do for a run that was asked to end, or holds nothing (any more)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from testkit import builders as a
from testkit.memory_ports import MemoryWorld, Stage, memory_world

from activities.catalog import probe_access
from activities.cluster import apply_daemonset
from activities.storage import open_access
from shared.domain.claims import Holder, cancelled
from shared.domain.model import WarmupPlan
from shared.domain.planning import Grounds, plan_warmup
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery, Holdings, OpeningOrder, Probe, ProbeOrder, RolloutOrder

NOW = datetime(2026, 5, 26, 12, 0, tzinfo=UTC)
HELD = Holdings(cluster=a.CLUSTER, databases=(a.DATABASE,), run_id="run1")
PROBE = ProbeOrder(account=a.ACCOUNT, holdings=HELD)
REACHABLE = Probe(outcome="reachable")


@pytest.fixture
def world(tmp_path: Path) -> MemoryWorld:
    """A run holds a database, and was asked to end."""
    world = memory_world(Stage(tmp_path), None)
    world.claims.take(a.claim("run1", a.DATABASE), over=None)
    world.claims.cancel(a.CLUSTER, a.DATABASE, "run1", "oid")
    return world


def acts(folder: Path) -> list[Any]:
    """What was done to the world."""
    noted = folder / "acts.jsonl"
    return [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []


def opened(world: MemoryWorld) -> object:
    query = AccountQuery(
        subscription_id=a.SUBSCRIPTION, name=a.ACCOUNT.name, resource_group=None, run_id="run1"
    )
    return open_access(
        OpeningOrder(query=query, holdings=HELD),
        accounts=world.accounts,
        ledgers=world.ledgers,
        claims=world.claims,
        clock=lambda: NOW,
    )


def rolled_out(world: MemoryWorld) -> object:
    grounds = Grounds(
        request=a.request(), cluster=a.facts(), account=a.ACCOUNT, databases=(a.STAGED,), now=NOW
    )
    plan = plan_warmup(grounds, a.KUBELET)
    assert isinstance(plan, WarmupPlan)
    return apply_daemonset(
        RolloutOrder(plan=plan, staged=a.STAGED, run_id="run1", now=NOW),
        clusters=world.clusters,
        catalog=world.catalog,
        claims=world.claims,
        rules=world.pod_rules,
    )


def test_no_account_is_opened_for_a_run_that_was_asked_to_end(world: MemoryWorld, tmp_path: Path) -> None:
    assert opened(world) == cancelled("oid")
    assert (acts(tmp_path), world.ledgers.all()) == ([], ())


def test_nothing_is_rolled_out_for_a_run_that_was_asked_to_end(world: MemoryWorld, tmp_path: Path) -> None:
    assert rolled_out(world) == cancelled("oid")
    assert acts(tmp_path) == []


def test_a_probe_tells_a_run_that_it_was_asked_to_end(world: MemoryWorld) -> None:
    assert probe_access(PROBE, catalog=world.catalog, claims=world.claims) == cancelled("oid")


def test_a_probe_asks_nothing_of_a_run_that_holds_nothing_as_a_dry_one(world: MemoryWorld) -> None:
    dry = replace(PROBE, holdings=replace(HELD, run_id="run2"))
    assert probe_access(dry, catalog=world.catalog, claims=world.claims) == REACHABLE

    world.claims.drop(a.CLUSTER, (a.DATABASE,), Holder("run1"))
    assert probe_access(PROBE, catalog=world.catalog, claims=world.claims) == REACHABLE


def test_a_run_that_lost_its_database_is_told_so_by_name(world: MemoryWorld) -> None:
    world.claims.drop(a.CLUSTER, (a.DATABASE,), Holder("run1"))
    refusal = rolled_out(world)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLAIM_LOST
    assert refusal.message == "run run1 no longer holds database 'core_nt'"
