"""What goes wrong between nodes and their account: named with its remedy, waited for where it may pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testkit.fate import ACCOUNT
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack, causes

from local.staging import CONTAINER

pytestmark = [pytest.mark.stack, pytest.mark.embedded_cluster]
# Slow enough that no node has begun with the last file when something befalls it.
BEFORE_THE_LAST_MBPS = 15


def told(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["custom_status"])


def test_a_role_that_the_app_may_not_grant_is_shown_at_once_with_the_command_that_grants_it(
    stack: LaptopStack,
) -> None:
    stack.empty_nodes()
    with without_reader_role(stack):
        run_id = stack.start(DATABASE)
        status = stack.await_status(run_id, all_wait_for_access)
        ended = stack.cancel(run_id)

    (remedy,) = status["custom_status"]["steps"]["roles"]["remedies"]
    assert remedy.startswith("az role assignment create --assignee-object-id ")
    assert '--role "Storage Blob Data Reader" --scope ' + ACCOUNT in remedy
    assert status["custom_status"]["nodes_active"] == 3  # waited for, not judged yet
    assert causes(status)["access_denied"]["count"] == 3
    assert ended["output"]["status"] == "cancelled"


def test_a_token_that_the_account_does_not_take_is_named(stack: LaptopStack) -> None:
    stack.empty_nodes()
    refusal = {"kind": "status", "status": 401, "code": "InvalidAuthenticationInfo"}
    with blob_fault(stack, method="HEAD", path=f"{DATABASE}/", **refusal):
        output = stack.warm(DATABASE)["output"]

    (cause,) = output["causes"]
    assert (cause["kind"], cause["count"]) == ("access_denied", 3)
    assert "401" in cause["message"]
    assert output["status"] == "failed"


def all_wait_for_access(status: dict[str, Any]) -> bool:
    """Whether every node says that it waits for a role."""
    nodes = (status["custom_status"] or {}).get("nodes", [])
    return bool(nodes) and all(node["phase"] == "waiting_for_access" for node in nodes)


def test_a_blob_that_is_replaced_after_the_plan_fails_the_run_with_that_cause(stack: LaptopStack) -> None:
    last = f"{LARGE_DATABASE}.04.nsq"
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=BEFORE_THE_LAST_MBPS)
    with blob_replaced(stack, f"{LARGE_DATABASE}/{last}"):
        output = stack.finish(run_id)["output"]

    assert output["status"] == "failed"
    assert (output["causes"][0]["kind"], output["causes"][0]["count"]) == ("changed", 3)
    assert last in output["error"]
    assert output["causes"][0]["remedy"] in output["error"]


def test_a_blob_that_is_gone_after_the_plan_fails_the_run_with_that_cause(stack: LaptopStack) -> None:
    last = f"{LARGE_DATABASE}.04.nsq"
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=BEFORE_THE_LAST_MBPS)
    # Said by the gate: Azurite answers 412 where the real service answers 404.
    with blob_fault(stack, kind="status", path=last, status=404, code="BlobNotFound"):
        output = stack.finish(run_id)["output"]

    assert output["status"] == "failed"
    assert (output["causes"][0]["kind"], output["causes"][0]["count"]) == ("not_found", 3)
    assert last in output["error"]


def test_an_account_closed_behind_the_runs_back_is_waited_for_quietly(stack: LaptopStack) -> None:
    before = stack.network()
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
    stack.fate.set_network(publicNetworkAccess="Disabled")
    status = stack.await_cause(run_id, "storage_closed")
    stack.fate.set_network(publicNetworkAccess="Enabled")

    ended = stack.finish(run_id)

    assert causes(status)["storage_closed"]["remedy"]
    assert told(status)["nodes_failed"] == 0
    assert ended["output"]["status"] == "succeeded"
    assert stack.network() == before


def test_a_busy_account_is_named_and_outlasted(stack: LaptopStack) -> None:
    stack.empty_nodes()
    busy = {"kind": "status", "status": 503, "code": "ServerBusy", "retry_after_seconds": 0}
    with blob_fault(stack, method="GET", path=f"{DATABASE}.nsq", **busy):
        run_id = stack.start(DATABASE)
        status = stack.await_status(
            run_id, lambda status: causes(status).get("throttled", {}).get("count") == 3
        )

    cause = causes(status)["throttled"]
    assert "the account is busy (HTTP 503 ServerBusy)" in cause["message"]
    assert "ceiling in MB/s per node" in cause["remedy"]
    assert told(status)["nodes_failed"] == 0
    assert stack.finish(run_id)["output"]["status"] == "succeeded"


def test_an_account_that_breaks_every_connection_is_named_and_waited_for(stack: LaptopStack) -> None:
    stack.empty_nodes()
    with blob_fault(stack, method="HEAD", path=f"{DATABASE}/", kind="reset"):
        run_id = stack.start(DATABASE)
        status = stack.await_status(
            run_id, lambda status: causes(status).get("network", {}).get("count") == 3
        )

    assert "private endpoints between the node and the storage account" in causes(status)["network"]["remedy"]
    assert all_wait_for_access(status)
    assert told(status)["nodes_failed"] == 0
    assert stack.finish(run_id)["output"]["status"] == "succeeded"


def test_nodes_that_hold_different_bytes_of_one_generation_fail_the_run(stack: LaptopStack) -> None:
    assert stack.warm(DATABASE)["output"]["status"] == "succeeded"
    other = stack.up.wiring.node_names[1]
    remember_other_bytes(stack.places.blast_folder(other))

    output = stack.warm(DATABASE, on_failure="keep")["output"]

    assert [output[key] for key in ("status", "nodes_ready", "nodes_failed")] == ["failed", 0, 3]
    assert not output.get("nodes_kept")
    assert DATABASE not in {pod["metadata"]["labels"]["db"] for pod in stack.fate.pods()}
    assert output["error"].startswith(f"nodes hold different bytes of {DATABASE}, the rarest (on {other}); ")
    (cause,) = output["causes"]
    assert (cause["kind"], cause["node"], cause["count"]) == ("digests_differ", other, 1)
    assert "verify_only" in cause["remedy"]
    assert stack.network()["public_access"] == "Disabled"
    mended = stack.warm(DATABASE, verify_only=True)["output"]
    assert mended["status"] == "succeeded"


@contextmanager
def without_reader_role(stack: LaptopStack) -> Iterator[None]:
    """Take the nodes' roles back, and the app's right to grant them."""
    for assignment in stack.fate.azure("GET", "state")["assignments"]:
        if assignment["scope"].startswith(f"{ACCOUNT}/"):
            path = "/providers/Microsoft.Authorization/roleAssignments/"
            stack.fate.arm("DELETE", assignment["scope"] + path + assignment["name"], "2022-04-01")
    stack.fate.azure("PATCH", "behaviour", {"may_grant_roles": False})
    try:
        yield
    finally:
        stack.fate.azure("PATCH", "behaviour", {"may_grant_roles": True})


@contextmanager
def blob_replaced(stack: LaptopStack, name: str) -> Iterator[None]:
    """Let a blob be another one for a while."""
    with stack.up.wiring.staging_server.client() as account:
        blob = account.get_blob_client(CONTAINER, name)
        kept, settings = blob.download_blob().readall(), blob.get_blob_properties().content_settings
        blob.upload_blob(b"another", overwrite=True)
        try:
            yield
        finally:
            blob.upload_blob(kept, overwrite=True, content_settings=settings)


@contextmanager
def blob_fault(stack: LaptopStack, **rule: Any) -> Iterator[None]:
    """Let requests for blobs go wrong for a while."""
    stack.fate.azure("PUT", "faults", {"rules": [{"area": "blob", **rule}]})
    try:
        yield
    finally:
        stack.fate.azure("DELETE", "faults")


def remember_other_bytes(folder: Path) -> None:
    """Let a node believe that one of its files came with other bytes than on the other nodes."""
    private = folder / ".warmup" / DATABASE
    for note in (private / "receipts.jsonl", private / "marker.json"):
        text = note.read_text()
        digest = re.search(r'"digest": "(\w{64})", "modified"', text)
        assert digest is not None
        note.write_text(text.replace(digest[1], digest[1][::-1]))
