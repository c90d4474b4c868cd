"""An account that misbehaves, refuses or lies: waited out, named, or never believed."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import TOKEN, BlobServer, Fault, always, at_first, blob_server, sometimes
from testkit.sample_database import contents, put_database
from testkit.warm_node import WarmNode, kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

VOLUME = "core_nt/core_nt.00.nsq"
# The head of a TLS record of 16 KiB.
FIRST_OF_A_HANDSHAKE = b"\x16\x03\x03\x40\x00"
DRIP_SECONDS = 0.5


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="reset", after_bytes=9000),
        Fault(kind="short", after_bytes=9000),
        Fault(kind="ignore_range"),
        Fault(kind="wrong_range"),
        Fault(kind="long_header"),
        Fault(kind="chunked"),
        Fault(kind="status", status=500),
        Fault(kind="status", status=503, code="ServerBusy", headers={"Retry-After": "0"}),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}",
)
def test_faults_in_a_tenth_of_the_answers_cost_almost_no_bytes(
    node: WarmNode, server: BlobServer, fault: Fault
) -> None:
    put_database(server, "nt", volumes=1, volume_bytes=2_500_000)
    manifest = server.manifest("nt")
    server.judge = sometimes(fault, share=0.1)

    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "nt")
    assert outcome.last["retries"] > 0
    assert outcome.last["bytes_fetched"] <= manifest["bytes"] * 1.02


def test_a_hanging_answer_is_given_up_and_asked_for_again(node: WarmNode, server: BlobServer) -> None:
    server.judge = at_first(3, Fault(kind="hang", after_bytes=9000))

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_an_answer_that_drips_is_given_up_and_asked_for_again(node: WarmNode, server: BlobServer) -> None:
    drip = Fault(kind="drip", after_bytes=9000)
    server.judge = lambda request: drip if request.method == "GET" and request.number < 4 else None

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


@pytest.mark.parametrize(("drips", "kind"), [("head", "network"), ("token", "identity_unavailable")])
def test_a_head_or_a_token_that_drips_is_said_and_asked_for_again(
    node: WarmNode, server: BlobServer, drips: str, kind: str
) -> None:
    server.judge = at_first(1 if drips == "head" else 0, Fault(kind="drip_head"))
    server.token_drips = drips == "token"
    process = node.start(server.manifest("core_nt"))

    wait_until(lambda: f'"{kind}"' in node.termination_log.read_text())

    server.token_drips = False
    process.communicate()
    assert process.returncode == 0


def test_a_handshake_that_drips_is_given_up_and_said(
    node: WarmNode, server: BlobServer, dripping: int
) -> None:
    endpoint = f"https://127.0.0.1:{dripping}/"
    process = node.start(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT=endpoint)

    wait_until(lambda: "handshake operation timed out" in node.termination_log.read_text())

    kill(process)


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of somebody who begins each handshake, and goes on with a byte whenever one loses patience."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip_to_all, args=(listening, over))
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


def drip_to_all(listening: socket.socket, over: threading.Event) -> None:
    listening.settimeout(DRIP_SECONDS)
    callers: list[socket.socket] = []
    while not over.is_set():
        with suppress(TimeoutError):
            callers.append(listening.accept()[0])
            callers[-1].sendall(FIRST_OF_A_HANDSHAKE)
        for caller in callers:
            with suppress(OSError):
                caller.sendall(b"\2")
    for caller in callers:
        caller.close()


def test_retry_after_is_obeyed(node: WarmNode, server: BlobServer) -> None:
    busy = Fault(kind="status", status=503, code="ServerBusy", headers={"Retry-After": "2"})
    server.judge = at_first(1, busy)

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert outcome.last["seconds"] >= 2


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_an_account_that_wants_to_be_asked_again_at_once_is_given_time(
    node: WarmNode, server: BlobServer, seconds: str
) -> None:
    ends = time.monotonic() + 3
    busy = Fault(kind="status", status=503, code="ServerBusy", headers={"Retry-After": seconds})
    server.judge = lambda request: (
        busy if request.method == "GET" and request.number and time.monotonic() < ends else None
    )

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert outcome.last["retries"] < 200  # not again and again at once, with ten connections
    told = [report["error"] for report in outcome.reports if report["phase"] == "copying" and report["error"]]
    assert told[0]["kind"] == "throttled"
    assert "the account is busy (HTTP 503 ServerBusy)" in told[0]["message"]
    assert outcome.last["error"] is None


def test_connections_that_end_with_each_answer_cost_no_byte(node: WarmNode, server: BlobServer) -> None:
    put_database(server, "nt", volumes=1, volume_bytes=60_000_000)  # several blocks, of many buffers each
    server.keeps_connections = False
    manifest = server.manifest("nt")

    outcome = node.look(manifest)

    assert (outcome.exit_code, outcome.last["retries"]) == (0, 0)
    assert server.served_bytes <= manifest["bytes"] * 1.02


def test_a_blob_that_is_replaced_midway_is_never_mixed_with_the_old_one(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    server.bytes_per_second = 2e6
    process = node.start(manifest)
    wait_until(server.has_served)
    server.put(VOLUME, server.blobs[VOLUME].content[::-1])

    process.communicate()

    assert process.returncode == 15
    assert node.files() == {}
    server.bytes_per_second = None
    assert node.look(server.manifest("core_nt")).exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_content_that_is_not_what_its_md5_says_is_never_published(node: WarmNode, server: BlobServer) -> None:
    manifest = server.manifest("core_nt")
    blob = server.blobs["core_nt/core_nt.00.nin"]
    server.blobs["core_nt/core_nt.00.nin"] = type(blob)(
        content=blob.content[::-1], etag=blob.etag, md5=blob.md5
    )

    outcome = node.look(manifest)

    assert (outcome.exit_code, outcome.error["kind"]) == (16, "damaged")
    assert node.files() == {}


def test_copying_that_takes_too_long_ends_and_the_next_look_goes_on(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    server.bytes_per_second = 1e6

    outcome = node.look(manifest, WARMUP_DEADLINE_SECONDS="1")

    assert (outcome.exit_code, outcome.error["kind"]) == (17, "deadline")
    server.bytes_per_second = None
    assert node.look(manifest).exit_code == 0
    assert server.served_bytes <= manifest["bytes"] * 1.02


def test_however_late_a_node_begins_it_gives_up_before_its_run_does(
    node: WarmNode, server: BlobServer
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    manifest = server.manifest("core_nt")
    server.bytes_per_second = 1e6

    outcome = node.look(manifest, WARMUP_DEADLINE=soon.isoformat(timespec="seconds"))

    assert (outcome.exit_code, outcome.error["kind"]) == (17, "deadline")
    server.bytes_per_second = None
    # One that joins when the run is over has nobody to be in time for.
    assert node.look(manifest, WARMUP_DEADLINE=soon.isoformat(timespec="seconds")).exit_code == 0


def test_a_token_that_the_account_no_longer_accepts_is_renewed(node: WarmNode, server: BlobServer) -> None:
    server.bytes_per_second = 4e6
    process = node.start(server.manifest("core_nt"))
    wait_until(server.has_served)
    server.accepted_token = "another-token"

    process.communicate()

    assert process.returncode == 0
    assert node.files() == contents(server, "core_nt")


def test_the_token_goes_to_the_account_and_to_nobody_else(node: WarmNode, server: BlobServer) -> None:
    with blob_server() as elsewhere:
        away = {"Location": f"{elsewhere.endpoint}blob"}
        server.judge = always(Fault(kind="status", status=307, headers=away), blob=VOLUME)
        outcome = node.look(server.manifest("core_nt"))

        assert outcome.exit_code == 13
        assert elsewhere.requests == []
    assert TOKEN not in outcome.output
    assert not any(TOKEN.encode() in path.read_bytes() for path in node.folder.rglob("*") if path.is_file())
