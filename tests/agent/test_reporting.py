"""What a look says of itself while it works, and at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer
    from testkit.warm_node import Outcome, WarmNode

FIELDS = {
    *("schema", "run_id", "database", "node", "generation", "mode", "engine", "phase", "error"),
    *("files_done", "files_total", "bytes_done", "bytes_total", "bytes_fetched", "files_fetched"),
    *(
        "bytes_per_second",
        "eta_seconds",
        "retries",
        "disk_bytes_per_second",
        "seconds",
        "digest",
        "updated_at",
    ),
}


@pytest.fixture
def slow(node: WarmNode, server: BlobServer) -> Outcome:
    """A look that takes some seconds, so that it reports on its way."""
    return node.look(server.manifest("core_nt"), WARMUP_MAX_MBPS="6")


def test_every_report_has_every_field_and_fits_a_line(slow: Outcome) -> None:
    assert all(set(report) == FIELDS for report in slow.reports)
    assert all(len(line) <= 1000 for line in slow.output.splitlines())


def test_progress_never_goes_backwards_and_is_complete_only_when_ready(slow: Outcome) -> None:
    for field in ("files_done", "bytes_done", "bytes_fetched", "retries", "seconds"):
        values = [report[field] for report in slow.reports]
        assert values == sorted(values)
    assert all(report["bytes_done"] < report["bytes_total"] for report in slow.reports[:-1])
    assert slow.last["bytes_done"] == slow.last["bytes_total"]
    assert slow.last["files_done"] == slow.last["files_total"]


def test_the_phases_come_in_order_and_copying_reports_a_rate_and_a_time_left(slow: Outcome) -> None:
    phases = list(dict.fromkeys(report["phase"] for report in slow.reports))
    assert phases == ["checking", "waiting_for_access", "copying", "verifying", "publishing", "ready"]
    copying = [report for report in slow.reports if report["phase"] == "copying"]
    assert copying[-1]["bytes_per_second"] == pytest.approx(6e6, rel=0.2)
    assert copying[-1]["eta_seconds"] is not None


def test_a_ceiling_is_not_exceeded(slow: Outcome) -> None:
    assert slow.last["bytes_total"] / slow.last["seconds"] <= 6e6


def test_the_last_word_is_in_the_file_and_in_the_termination_message(node: WarmNode, slow: Outcome) -> None:
    assert json.loads(node.termination_log.read_text()) == slow.last
    assert json.loads((node.private("core_nt") / "report.json").read_text()) == slow.last


def test_a_senseless_environment_is_reported_like_any_failure(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT="http://elsewhere.example/")

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert json.loads(node.termination_log.read_text())["phase"] == "failed"


def test_help_tells_usage_and_exit_codes(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"), "--help")

    assert outcome.exit_code == 0
    assert "--verify" in outcome.output
    assert "16 damaged" in outcome.output
