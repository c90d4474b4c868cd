"""What a look says of itself while it works, and at its end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import Fault, always
from testkit.warm_node import REPOSITORY, Outcome, WarmNode, wait_until

from agent.ledger import BLOCK_BYTES

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer

FIELDS = {
    *("schema", "run_id", "database", "node", "generation", "mode", "engine", "phase", "error"),
    *("files_done", "files_total", "bytes_done", "bytes_total", "bytes_fetched", "files_fetched"),
    *(
        "bytes_per_second",
        "eta_seconds",
        "retries",
        "disk_bytes_per_second",
        "cached_bytes",
        "seconds",
        "digest",
        "updated_at",
    ),
}


CEILING_BYTES_PER_SECOND = 3_000_000
VOLUME_BYTES = 9_000_000


@pytest.fixture
def slow(node: WarmNode, server: BlobServer) -> Outcome:
    """A look that takes some seconds, so that it reports on its way: one file of one block."""
    server.put("slow/slow.nsq", random.Random(1).randbytes(VOLUME_BYTES))  # noqa: S311 - the same every time
    return node.look(server.manifest("slow"), WARMUP_MAX_MBPS=str(CEILING_BYTES_PER_SECOND / 1e6))


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


def test_progress_moves_within_a_block(slow: Outcome) -> None:
    assert VOLUME_BYTES < BLOCK_BYTES
    on_the_way = {report["bytes_done"] for report in slow.reports} - {0, VOLUME_BYTES - 1, VOLUME_BYTES}
    assert len(on_the_way) > 1


def test_a_worker_that_dies_never_makes_more_progress_than_there_is(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    process = node.start(manifest, WARMUP_MAX_MBPS="6")
    wait_until(lambda: server.has_served(VOLUME_BYTES))

    kill_a_worker(process.pid)
    output, _ = process.communicate()
    outcome = Outcome(exit_code=process.returncode, output=output)
    again = node.look(manifest)

    assert (outcome.exit_code, outcome.error["kind"]) == (1, "internal")
    for look in (outcome, again):
        done = [report["bytes_done"] for report in look.reports]
        assert done == sorted(done)
        assert max(done) <= manifest["bytes"]
    assert outcome.last["bytes_done"] < manifest["bytes"]
    assert again.exit_code == 0
    assert server.served_bytes <= manifest["bytes"] * 1.02


def kill_a_worker(agent: int) -> None:
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text(encoding="ascii").split()
    os.kill(int(children[0]), signal.SIGKILL)


def test_the_phases_come_in_order_and_copying_reports_a_rate_and_a_time_left(slow: Outcome) -> None:
    phases = list(dict.fromkeys(report["phase"] for report in slow.reports))
    assert phases == ["checking", "waiting_for_access", "copying", "verifying", "publishing", "ready"]
    copying = [report for report in slow.reports if report["phase"] == "copying"]
    assert copying[-1]["bytes_per_second"] > 0
    assert copying[-1]["eta_seconds"] is not None


def test_a_ceiling_is_not_exceeded(slow: Outcome) -> None:
    assert slow.last["bytes_total"] / slow.last["seconds"] <= CEILING_BYTES_PER_SECOND


def test_the_last_word_is_in_the_file_and_in_the_termination_message(node: WarmNode, slow: Outcome) -> None:
    assert json.loads(node.termination_log.read_text()) == slow.last
    assert json.loads((node.private("slow") / "report.json").read_text()) == slow.last


def test_a_senseless_environment_is_reported_like_any_failure(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT="http://elsewhere.example/")

    assert (outcome.exit_code, outcome.error["kind"]) == (10, "bad_manifest")
    assert json.loads(node.termination_log.read_text())["phase"] == "failed"


def test_a_very_long_cause_still_fits_a_line_and_the_termination_message(
    node: WarmNode, server: BlobServer
) -> None:
    server.put(f"core_nt/core_nt.{'x' * 180}.nsq", b"1")
    manifest = server.manifest("core_nt", generation="g" * 64)
    server.judge = always(Fault(kind="status", status=404, code="BlobNotFound"), method="HEAD")

    outcome = node.look(manifest, WARMUP_RUN_ID="r" * 64, WARMUP_NODE="n" * 63)

    assert outcome.error["kind"] == "not_found"
    assert all(len(line.encode()) <= 1000 for line in outcome.output.splitlines())
    assert node.termination_log.stat().st_size <= 4096


def test_help_tells_usage_and_exit_codes(node: WarmNode, server: BlobServer) -> None:
    outcome = node.look(server.manifest("core_nt"), "--help")

    assert outcome.exit_code == 0
    assert "--verify" in outcome.output
    assert "16 damaged" in outcome.output
    sources = "".join(file.read_text() for file in (REPOSITORY / "agent").glob("*.py"))
    read = set(re.findall(r'"((?:WARMUP|AZURE|IDENTITY)_[A-Z_]+)"', sources))
    assert {name for name in read if name not in outcome.output} == set()
