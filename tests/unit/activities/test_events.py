"""What the hands tell the logs and the metrics, once for each change."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from testkit import builders as a
from testkit.memory_ports import MemoryAccounts, Stage, memory_world
from testkit.telling import RUN_ID
from testkit.world import FOUND, World

from activities.endings import record_ending
from activities.storage import close_access, open_access
from shared.domain.events import PREFIX
from shared.domain.leases import NetworkState
from shared.domain.model import Account
from shared.domain.runs import AccountQuery, EndedRun, Holdings, OpeningOrder

NOW = datetime(2026, 5, 26, 12, 0, tzinfo=UTC)
QUERY = AccountQuery(
    subscription_id=a.SUBSCRIPTION, name="blastdata", resource_group=None, run_id="run-1", cluster="blast"
)


def ended(status: str, error: str = "") -> EndedRun:
    return EndedRun(
        run_id="run-1",
        status=status,
        cluster="blast",
        databases="core_nt",
        error=error,
        bytes_fetched=300,
        seconds=12.34,
    )


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[int, dict[str, Any]]]:
    """Level and fields of each event so far."""
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    return [(level, json.loads(text.removeprefix(PREFIX))) for level, text in told if text.startswith(PREFIX)]


def test_a_failed_run_is_an_error_with_all_its_figures(caplog: pytest.LogCaptureFixture) -> None:
    record_ending(ended("failed", "the disk is 3 GB short. Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"))

    ((level, event),) = events(caplog)
    assert level == logging.ERROR
    assert event.pop("error").startswith("the disk is 3 GB short")
    assert "eyJ" not in caplog.text
    assert event == {
        "event": "run_ended",
        "instance_id": "run-1",
        "cluster": "blast",
        "database": "core_nt",
        "phase": "failed",
        "status": "failed",
        "bytes": 300,
        "seconds": 12.3,
    }


@pytest.mark.parametrize("status", ["succeeded", "cancelled", "planned"])
def test_any_other_ending_fires_no_alert(caplog: pytest.LogCaptureFixture, status: str) -> None:
    with caplog.at_level(logging.INFO, "warmup"):
        record_ending(ended(status))

    ((level, event),) = events(caplog)
    assert (level, event["status"]) == (logging.INFO, status)


def test_an_account_is_told_open_once_and_closed_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world = memory_world(Stage(tmp_path), None)
    world.claims.take(a.claim("run-1", a.DATABASE), over=None)
    held = Holdings(cluster=a.CLUSTER, databases=(a.DATABASE,), run_id="run-1")
    order = OpeningOrder(query=QUERY, holdings=held)
    books: dict[str, Any] = {"accounts": world.accounts, "ledgers": world.ledgers, "clock": lambda: NOW}
    with caplog.at_level(logging.INFO, "warmup"):
        open_access(order, claims=world.claims, **books)
        close_access(QUERY, **books)
        close_access(QUERY, **books)

    told = [event for _, event in events(caplog)]
    assert [event["event"] for event in told] == ["account_opened", "account_closed"]
    assert {(event["instance_id"], event["cluster"], event["account"]) for event in told} == {
        ("run-1", "blast", "blastdata")
    }


class PublicAccounts(MemoryAccounts):
    """Accounts that are open to everybody already."""

    def network(self, account: Account) -> NetworkState:
        return replace(super().network(account), public_network_access="Enabled", default_action="Allow")


def test_an_account_that_was_open_already_is_told_neither_opened_nor_closed(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    stage = Stage(tmp_path)
    world = replace(memory_world(stage, None), accounts=PublicAccounts(stage))
    world.claims.take(a.claim("run-1", a.DATABASE), over=None)
    held = Holdings(cluster=a.CLUSTER, databases=(a.DATABASE,), run_id="run-1")
    order = OpeningOrder(query=QUERY, holdings=held)
    books: dict[str, Any] = {"accounts": world.accounts, "ledgers": world.ledgers, "clock": lambda: NOW}
    with caplog.at_level(logging.INFO, "warmup"):
        open_access(order, claims=world.claims, **books)
        close_access(QUERY, **books)

    assert events(caplog) == []


def test_an_account_that_the_janitor_closes_is_told_closed(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world = World(tmp_path)
    story = world.begin()
    with caplog.at_level(logging.INFO, "warmup"):
        while world.network == FOUND:
            story.step()
        story.terminate()
        world.send_janitor(rounds=3)

    told = [(event["event"], event["instance_id"], event["account"]) for _, event in events(caplog)]
    assert told == [("account_opened", RUN_ID, "blastdata"), ("account_closed", RUN_ID, "blastdata")]


def test_endings_are_counted_where_the_worker_exports_metrics() -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))

    record_ending(ended("succeeded"))

    measured = reader.get_metrics_data()
    assert measured is not None
    found = {
        metric.name: metric.data.data_points[0]
        for resource in measured.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert found.keys() == {"warmup.runs", "warmup.bytes_fetched", "warmup.run.duration"}
    assert dict(found["warmup.runs"].attributes or {}) == {"cluster": "blast", "status": "succeeded"}
