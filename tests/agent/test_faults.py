"""An account that misbehaves, refuses or lies: waited out, named, or never believed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from testkit.blob_server import TOKEN, BlobServer, Fault, Request, blob_server
from testkit.sample_database import contents
from testkit.warm_node import WarmNode, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

VOLUME = "core_nt/core_nt.00.nsq"


def sometimes(fault: Fault, *, share: float) -> Callable[[Request], Fault | None]:
    """A judge that lets `share` of the reads go wrong, the same ones every time."""
    chance = random.Random(1)  # noqa: S311 - the same faults every time
    return lambda request: fault if request.method == "GET" and chance.random() < share else None


def always(fault: Fault, *, method: str = "GET", blob: str = "") -> Callable[[Request], Fault | None]:
    """A judge that lets all such requests go wrong."""
    return lambda request: fault if request.method == method and request.blob.startswith(blob) else None


def at_first(count: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """A judge that relents after `count` requests."""
    return lambda request: fault if request.number < count else None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="reset", after_bytes=9000),
        Fault(kind="short", after_bytes=9000),
        Fault(kind="ignore_range"),
        Fault(kind="wrong_range"),
        Fault(kind="long_header"),
        Fault(kind="status", status=500),
        Fault(kind="status", status=503, code="ServerBusy", headers={"Retry-After": "0"}),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}",
)
def test_faults_in_a_tenth_of_the_answers_cost_almost_no_bytes(
    node: WarmNode, server: BlobServer, fault: Fault
) -> None:
    manifest = server.manifest("core_nt")
    server.judge = sometimes(fault, share=0.1)

    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert outcome.last["retries"] > 0
    assert outcome.last["bytes_fetched"] <= manifest["bytes"] * 1.02


def test_a_hanging_answer_is_given_up_and_asked_for_again(node: WarmNode, server: BlobServer) -> None:
    server.judge = at_first(3, Fault(kind="hang", after_bytes=9000))

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")


def test_retry_after_is_obeyed(node: WarmNode, server: BlobServer) -> None:
    busy = Fault(kind="status", status=503, code="ServerBusy", headers={"Retry-After": "2"})
    server.judge = at_first(1, busy)

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert outcome.last["seconds"] >= 2


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


def refused(status: int, code: str) -> Fault:
    return Fault(kind="status", status=status, code=code)


@pytest.mark.parametrize(
    ("fault", "exit_code", "kind"),
    [
        (refused(403, "AuthorizationPermissionMismatch"), 23, "access_denied"),
        (refused(403, "AuthenticationFailed"), 13, "access_denied"),
        (refused(403, ""), 13, "access_denied"),
        (refused(401, "InvalidAuthenticationInfo"), 13, "access_denied"),
        (refused(404, "BlobNotFound"), 14, "not_found"),
        (refused(404, "ContainerNotFound"), 14, "not_found"),
        (refused(409, "BlobArchived"), 14, "not_found"),
        (refused(412, "ConditionNotMet"), 15, "changed"),
        (refused(302, ""), 13, "access_denied"),
    ],
    ids=lambda value: f"{value.status}-{value.code}" if isinstance(value, Fault) else "",
)
def test_a_refusal_for_good_is_named_at_once(
    node: WarmNode, server: BlobServer, fault: Fault, exit_code: int, kind: str
) -> None:
    server.judge = always(fault, method="HEAD")

    outcome = node.look(server.manifest("core_nt"), WARMUP_ROLE_PATIENCE_SECONDS="0")

    assert (outcome.exit_code, outcome.error["kind"]) == (exit_code, kind)
    assert outcome.error["remedy"]
    assert node.files() == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AuthorizationFailure", "storage_closed"), ("AuthorizationPermissionMismatch", "access_denied")],
)
def test_an_account_that_does_not_let_it_in_yet_is_waited_for(
    node: WarmNode, server: BlobServer, code: str, kind: str
) -> None:
    server.judge = at_first(2, refused(403, code))

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    waiting = [
        r["error"]["kind"] for r in outcome.reports if r["phase"] == "waiting_for_access" and r["error"]
    ]
    assert waiting == [kind, kind]


def test_an_account_that_closes_midway_is_waited_for_and_nothing_is_fetched_twice(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    closed = refused(403, "AuthorizationFailure")
    server.judge = lambda request: closed if 40 < request.number < 60 else None

    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02
    landed = [report["bytes_done"] for report in outcome.reports]
    assert landed == sorted(landed)


def test_an_account_that_nobody_answers_for_is_waited_for(node: WarmNode, server: BlobServer) -> None:
    with blob_server() as gone:
        endpoint = gone.endpoint
    process = node.start(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT=endpoint)

    wait_until(lambda: '"network"' in node.termination_log.read_text())

    process.terminate()
    output, _ = process.communicate()
    assert '"phase":"waiting_for_access"' in output
    assert process.returncode == 19


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
