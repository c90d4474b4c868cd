"""An account that does not let a node in: waited for, or named at once."""

from __future__ import annotations

import pytest
from testkit.blob_server import BlobServer, Fault, Request, always, at_first
from testkit.sample_database import contents
from testkit.warm_node import WarmNode, wait_until


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

    def judge(request: Request) -> Fault | None:
        """Closed from the fortieth request on, until somebody has asked whether it is open again."""
        asked_again = any(earlier.method == "HEAD" for earlier in server.requests[40 : request.number])
        return closed if request.number >= 40 and not asked_again else None

    server.judge = judge

    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02
    landed = [report["bytes_done"] for report in outcome.reports]
    assert landed == sorted(landed)


def test_front_ends_that_do_not_know_of_the_grant_yet_slow_nothing_else_down(
    node: WarmNode, server: BlobServer
) -> None:
    manifest = server.manifest("core_nt")
    missing = refused(403, "AuthorizationPermissionMismatch")
    server.judge = lambda request: missing if request.method == "GET" and request.number % 10 == 9 else None

    outcome = node.look(manifest)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert outcome.last["retries"] > 0
    # A round ends only where several front ends in a row refuse.
    assert sum(request.method == "HEAD" for request in server.requests) <= 3


def test_a_role_that_reads_heads_but_no_content_is_waited_for_only_so_long(
    node: WarmNode, server: BlobServer
) -> None:
    server.judge = always(refused(403, "AuthorizationPermissionMismatch"))

    outcome = node.look(server.manifest("core_nt"), WARMUP_ROLE_PATIENCE_SECONDS="1")

    assert (outcome.exit_code, outcome.error["kind"]) == (23, "access_denied")
    waited = [
        r["error"]["kind"] for r in outcome.reports if r["phase"] == "waiting_for_access" and r["error"]
    ]
    assert set(waited) == {"access_denied"}
    assert server.served_bytes == 0


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1/", "https://warmdata.blob.invalid/"], ids=["no port", "no name"]
)
def test_an_account_that_nobody_answers_for_is_waited_for(
    node: WarmNode, server: BlobServer, endpoint: str
) -> None:
    process = node.start(server.manifest("core_nt"), WARMUP_BLOB_ENDPOINT=endpoint)

    wait_until(lambda: '"network"' in node.termination_log.read_text())

    process.terminate()
    output, _ = process.communicate()
    assert '"phase":"waiting_for_access"' in output
    assert process.returncode == 19
