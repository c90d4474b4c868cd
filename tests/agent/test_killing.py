"""The agent is killed at any moment, or told to stop: nothing is lost, and almost nothing wasted."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from testkit.sample_database import VOLUME_BYTES, contents
from testkit.warm_node import PATIENCE_SECONDS, Outcome, WarmNode, kill, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.blob_server import BlobServer

# Between nothing and about the time that one look takes at this speed.
LATEST_KILL_SECONDS = 0.6
BYTES_PER_SECOND_OF_AN_ANSWER = 6e6


def test_an_agent_that_is_killed_again_and_again_still_arrives(node: WarmNode, server: BlobServer) -> None:
    manifest = server.manifest("core_nt")
    server.bytes_per_second = BYTES_PER_SECOND_OF_AN_ANSWER

    for eighth in range(6):
        process = node.start(manifest)
        wait_until(partial(server.has_served, manifest["bytes"] * eighth // 8))
        kill(process)
    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02


def without_common(files: dict[str, bytes]) -> dict[str, bytes]:
    """Of this database alone: taxonomy files are replaced by themselves."""
    return {name: content for name, content in files.items() if not name.startswith("tax")}


def test_a_kill_while_a_generation_is_replaced_leaves_the_old_the_new_or_none(
    node: WarmNode, server: BlobServer
) -> None:
    old = server.manifest("core_nt")
    node.look(old)
    before = without_common(contents(server, "core_nt"))
    for name, blob in list(server.blobs.items()):
        server.put(name, blob.content[::-1], md5=bool(blob.md5), modified="2026-06-26T01:05:01Z")
    manifest, after = server.manifest("core_nt"), without_common(contents(server, "core_nt"))

    for seed in range(6):
        process = node.start(manifest)
        time.sleep(random.Random(seed).uniform(0.1, LATEST_KILL_SECONDS))  # noqa: S311 - the same moments
        kill(process)
        found = without_common(node.files())
        assert "core_nt.nal" not in found or found in (before, after)
    assert node.look(manifest).exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_staged_bytes_that_were_lost_after_all_are_fetched_again(node: WarmNode, server: BlobServer) -> None:
    manifest = server.manifest("core_nt")
    alias = server.blobs.pop("core_nt/core_nt.nal")
    assert node.look(manifest).error["kind"] == "not_found"
    server.blobs["core_nt/core_nt.nal"] = alias
    server.forget()

    with (node.private("core_nt") / "staging" / "core_nt.00.nsq").open("r+b") as stream:
        stream.write(b"\0" * 4096)
    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert 0 < server.served["core_nt/core_nt.00.nsq"] <= VOLUME_BYTES


def half_a_database(node: WarmNode, server: BlobServer) -> None:
    """What an agent leaves that was killed on its way."""
    server.bytes_per_second = 2e6
    process = node.start(server.manifest("core_nt"))
    wait_until(lambda: server.has_served(VOLUME_BYTES))
    kill(process)
    server.bytes_per_second = None


def test_a_ledger_that_a_power_cut_cut_short_is_begun_anew(node: WarmNode, server: BlobServer) -> None:
    half_a_database(node, server)
    for ledger in (node.private("core_nt") / "ledgers").iterdir():
        os.truncate(ledger, min(ledger.stat().st_size, 40))

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_a_receipt_that_a_power_cut_tore_hurts_no_other(node: WarmNode, server: BlobServer) -> None:
    half_a_database(node, server)
    (node.private("core_nt") / "receipts.jsonl").write_text('{"name": "core_nt.00.nhr", "si')

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_sigterm_ends_the_agent_within_two_seconds_and_says_so(node: WarmNode, server: BlobServer) -> None:
    server.bytes_per_second = 1e5
    process = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=2)

    outcome = Outcome(exit_code=process.returncode, output=output)
    assert (outcome.exit_code, outcome.error["kind"]) == (19, "interrupted")
    assert json.loads(node.termination_log.read_text()) == outcome.last


def test_sigterm_is_heard_while_nobody_answers_for_the_accounts_name(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    asking_it = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    node.runner = ("unshare", "--mount", "sh", "-c", asking_it, "sh")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        silent.settimeout(PATIENCE_SECONDS)
        endpoint = "https://account.blob.core.windows.net/"
        process = node.start(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT=endpoint)
        assert silent.recv(512)

        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=2)

    assert Outcome(exit_code=process.returncode, output=output).error["kind"] == "interrupted"


def test_workers_die_with_the_agent(node: WarmNode, server: BlobServer) -> None:
    server.bytes_per_second = 1e5
    process = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)

    kill(process)

    wait_until(lambda: not members_of_group(process.pid))


def members_of_group(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    return [pgid for pgid, state in rows if int(pgid) == group and not state.startswith("Z")]
