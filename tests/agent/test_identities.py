"""The ways to a token, over the wire: what each is asked, and that it is asked again in time."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from testkit.blob_server import CLIENT, FEDERATED_TOKEN, TENANT, TOKEN, BlobServer, Fault
from testkit.sample_database import contents
from testkit.warm_node import PATIENCE_SECONDS, WarmNode, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testkit.blob_server import Request

METADATA_PATH = "/metadata/identity/oauth2/token"


@pytest.fixture
def metadata(server: BlobServer) -> dict[str, str]:
    """A node with a managed identity."""
    return {
        "IDENTITY_ENDPOINT": "",
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": server.endpoint,
    }


@pytest.fixture
def federated(server: BlobServer, tmp_path: Path) -> dict[str, str]:
    """A pod with workload identity."""
    (tmp_path / "federated").write_text(FEDERATED_TOKEN)
    return {
        "IDENTITY_ENDPOINT": "",
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "federated"),
        "AZURE_AUTHORITY_HOST": server.endpoint,
    }


def test_the_metadata_service_gives_a_token(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    outcome = node.look(server.manifest("core_nt"), **metadata)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert set(server.tokens_given) == {METADATA_PATH}
    assert TOKEN not in outcome.output


def test_a_token_of_the_cluster_is_exchanged_for_one_of_the_account(
    node: WarmNode, server: BlobServer, federated: dict[str, str]
) -> None:
    outcome = node.look(server.manifest("core_nt"), **federated)

    assert outcome.exit_code == 0
    assert node.files() == contents(server, "core_nt")
    assert set(server.tokens_given) == {f"/{TENANT}/oauth2/v2.0/token"}
    assert TOKEN not in outcome.output
    assert FEDERATED_TOKEN not in outcome.output


def test_an_identity_that_is_not_on_the_node_ends_the_look(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    outcome = node.look(server.manifest("core_nt"), **{**metadata, "AZURE_CLIENT_ID": "another"})

    assert (outcome.exit_code, outcome.error["kind"]) == (12, "identity_unavailable")
    assert "AZURE_CLIENT_ID" in outcome.error["remedy"]


def test_a_token_that_expires_on_the_way_is_renewed(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    server.token_seconds = 1
    process = node.start(server.manifest("core_nt"), WARMUP_MAX_MBPS="9", **metadata)
    wait_until(server.has_served)
    server.accepted_token = "the-token-after-that"

    process.communicate()

    assert process.returncode == 0
    assert node.files() == contents(server, "core_nt")
    assert server.tokens_given[METADATA_PATH] > 1


def test_a_clock_two_hours_ahead_changes_nothing(node: WarmNode, server: BlobServer) -> None:
    server.token_seconds = -7200

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == 0
    assert server.tokens_given.total() == 1


@pytest.mark.parametrize("unlucky", [[429, 503], [410, 404], [500, 504]])
def test_a_metadata_service_that_fails_is_waited_for_and_said_so(
    node: WarmNode, server: BlobServer, metadata: dict[str, str], unlucky: list[int]
) -> None:
    server.unlucky_tokens = list(unlucky)

    outcome = node.look(server.manifest("core_nt"), **metadata)

    assert outcome.exit_code == 0
    waiting = [r["error"] for r in outcome.reports if r["phase"] == "waiting_for_access" and r["error"]]
    assert [error["kind"] for error in waiting] == ["identity_unavailable"] * 2
    assert all(f"HTTP {status}" in error["message"] for error, status in zip(waiting, unlucky, strict=True))


def test_a_metadata_service_that_nobody_reaches_is_waited_for(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    silent = {**metadata, "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1"}
    process = node.start(server.manifest("core_nt"), **silent)

    wait_until(lambda: '"identity_unavailable"' in node.termination_log.read_text())

    process.terminate()
    output, _ = process.communicate()
    assert '"phase":"waiting_for_access"' in output
    assert process.returncode == 19


def test_no_token_within_the_patience_ends_the_look(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    server.unlucky_tokens = [503] * 9

    outcome = node.look(server.manifest("core_nt"), WARMUP_ROLE_PATIENCE_SECONDS="0", **metadata)

    assert (outcome.exit_code, outcome.error["kind"]) == (25, "identity_unavailable")


def test_a_token_that_is_lost_midway_is_waited_for_and_almost_nothing_is_fetched_twice(
    node: WarmNode, server: BlobServer, metadata: dict[str, str]
) -> None:
    manifest = server.manifest("core_nt")
    process = node.start(manifest, WARMUP_MAX_MBPS="9", **metadata)
    wait_until(server.has_served)
    server.unlucky_tokens = [503, 503, 503]
    server.accepted_token = "the-token-after-that"

    output, _ = process.communicate()

    assert process.returncode == 0
    assert node.files() == contents(server, "core_nt")
    assert server.served_bytes <= manifest["bytes"] * 1.02
    assert "lost access while copying" in output


SIGNATURE = "marked-signature"
SAS = f"sv=2024-11-04&sp=r&sig={SIGNATURE}"


def at_the_first(**fault: Any) -> Callable[[Request], Fault | None]:
    return lambda request: Fault(**fault) if request.number == 0 else None


@pytest.mark.parametrize(
    ("judge", "code"),
    [
        (lambda _: None, 0),
        (at_the_first(kind="short", after_bytes=1000), 0),
        (at_the_first(kind="reset"), 0),
        (lambda _: Fault(kind="status", status=401, code="InvalidAuthenticationInfo"), 13),
        (lambda _: Fault(kind="status", status=403, code="AuthenticationFailed"), 13),
        (
            lambda request: Fault(
                kind="status", status=307, headers={"Location": f"http://127.0.0.1:1{request.target}"}
            ),
            13,
        ),
    ],
    ids=["well", "short", "reset", "401", "403", "redirect"],
)
def test_a_sas_works_and_is_told_to_nobody_but_the_account(
    node: WarmNode,
    server: BlobServer,
    tmp_path: Path,
    judge: Callable[[Request], Fault | None],
    code: int,
) -> None:
    (tmp_path / "sas").write_text(SAS)
    server.accepted_signature, server.accepted_token = SIGNATURE, "nobody's"
    server.judge, server.bytes_per_second = judge, 20e6
    process = node.start(
        server.manifest("core_nt"), WARMUP_SAS_FILE=str(tmp_path / "sas"), WARMUP_ROLE_PATIENCE_SECONDS="0"
    )
    wait_until(lambda: bool(server.requests) or process.poll() is not None)
    seen = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == code, output
    assert all(SIGNATURE in request.target for request in server.requests)
    written = [file.read_bytes() for file in node.blast.rglob("*") if file.is_file()]
    told = [output, seen, node.termination_log.read_text(), *map(str, server.tokens_given)]
    assert not [text for text in told if SIGNATURE in text]
    assert not [data for data in written if SIGNATURE.encode() in data]


@pytest.mark.parametrize(
    "content", [b"sig=SECRET\n# rotated in May\n", b"sig=SECRET and=more", b"sig=SECRET\xff", b""]
)
def test_a_sas_that_cannot_be_one_ends_the_look_and_is_never_quoted(
    node: WarmNode, server: BlobServer, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "sas").write_bytes(content)

    outcome = node.look(server.manifest("core_nt"), WARMUP_SAS_FILE=str(tmp_path / "sas"))

    assert (outcome.exit_code, outcome.error["kind"]) == (12, "identity_unavailable")
    assert "WARMUP_SAS_FILE" in outcome.error["remedy"]
    assert "SECRET" not in outcome.output + node.termination_log.read_text()
    assert server.requests == []


def test_an_identity_header_that_breaks_the_request_is_never_quoted(
    node: WarmNode, server: BlobServer
) -> None:
    outcome = node.look(server.manifest("core_nt"), IDENTITY_HEADER="SECRET\nsecond line")

    assert (outcome.exit_code, outcome.error["kind"]) == (12, "identity_unavailable")
    assert "SECRET" not in outcome.output + node.termination_log.read_text()


@pytest.mark.parametrize(("padding", "exit_code"), [(60_000, 0), (70_000, 12)])
def test_no_more_is_read_of_an_answer_than_a_token_can_take(
    node: WarmNode, server: BlobServer, padding: int, exit_code: int
) -> None:
    server.token_padding = padding

    outcome = node.look(server.manifest("core_nt"))

    assert outcome.exit_code == exit_code
    assert TOKEN not in outcome.output
