"""What goes wrong on nodes is named in the run's status, with its remedy, and stays on its node."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testkit.fate import ACCOUNT
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack, causes
from testkit.waiting import wait_until

from local import evidence
from local.staging import CONTAINER

pytestmark = [pytest.mark.stack, pytest.mark.embedded_cluster]

SERVICE_ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
# A look that was under way when the trouble began, and the first that can have seen it.
LOOKS = 2
# What a killed agent had begun to read and not yet landed: far from the 133 MB of the database.
IN_FLIGHT_BYTES = 40_000_000


def looks(status: dict[str, Any]) -> int:
    return int(status["custom_status"]["steps"]["warming_up"]["poll_attempt"])


def waiting_reasons(stack: LaptopStack) -> set[str]:
    pods = stack.fate.pods()
    statuses = [status for pod in pods for status in pod["status"].get("initContainerStatuses", ())]
    return {status["state"].get("waiting", {}).get("reason", "") for status in statuses}


def told(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["custom_status"])


def nodes_counted(status: dict[str, Any]) -> int:
    return sum(int(status[f"nodes_{standing}"]) for standing in ("ready", "failed", "active"))


def noted(polls: list[dict[str, Any]], status: dict[str, Any]) -> str:
    if status["custom_status"]:
        polls.append(status)
    return str(status["runtime_status"])


def test_an_image_that_cannot_be_pulled_is_named_within_one_look(stack: LaptopStack) -> None:
    with stack.app_settings(ALLOWED_REGISTRIES="nobodysregistry"):
        run_id = stack.start(DATABASE, acr_name="nobodysregistry")
        unpulled = stack.await_status(run_id, lambda _: bool(waiting_reasons(stack) & {"ErrImagePull"}))
        before = looks(unpulled) if "poll_attempt" in str(unpulled["custom_status"]) else 0

        status = stack.await_cause(run_id, "image_pull")
        ended = stack.cancel(run_id)

    assert looks(status) <= before + LOOKS
    cause = causes(status)["image_pull"]
    assert "nobodysregistry.azurecr.io/ncbi/elb:1.4.0" in cause["message"]
    assert "AcrPull" in cause["remedy"]
    assert cause["count"] == 3
    assert ended["output"]["status"] == "cancelled"


def test_an_image_that_can_be_pulled_in_the_end_lets_the_run_succeed(stack: LaptopStack) -> None:
    with stack.fate.no_images():
        run_id = stack.start(DATABASE)
        status = stack.await_cause(run_id, "image_pull")

    assert (status["custom_status"]["nodes_active"], status["custom_status"]["nodes_failed"]) == (3, 0)
    output = stack.finish(run_id)["output"]
    assert (output["status"], output["nodes_ready"], output["causes"]) == ("succeeded", 3, [])


def test_nodes_that_are_warm_stay_ready_where_that_was_asked_for(stack: LaptopStack) -> None:
    bad, *good = stack.up.wiring.node_names
    stack.empty_nodes()
    with stack.fate.full_disk(bad, megabytes=3):
        output = stack.warm(DATABASE, on_failure="keep")["output"]
        wait_until(lambda: nodes_with_pods(stack) == set(good))

    assert (output["status"], output["nodes_kept"]) == ("failed", 2)
    assert stack.network()["public_access"] == "Disabled"
    (card,) = [each for each in stack.dashboard.warmth()["databases"] if each["name"] == DATABASE]
    assert (card["status"], card["nodes_ready"], card["nodes_failed"], card["total_jobs"]) == (
        "Failed",
        2,
        1,
        3,
    )

    again = stack.warm(DATABASE)["output"]
    assert (again["status"], again["nodes_ready"]) == ("succeeded", 3)


def nodes_with_pods(stack: LaptopStack) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in stack.fate.pods()}


def test_a_full_disk_fails_its_own_node_and_no_other(stack: LaptopStack) -> None:
    bad, *good = stack.up.wiring.node_names
    with stack.fate.full_disk(bad, megabytes=3):
        run_id = stack.start(DATABASE)
        polls: list[dict[str, Any]] = []
        ended = stack.await_status(run_id, lambda status: noted(polls, status) == "Completed")

    assert all(nodes_counted(each) == each["total_jobs"] for each in map(told, polls))
    output = ended["output"]
    assert (output["status"], output["nodes_ready"], output["nodes_failed"]) == ("failed", 2, 1)
    cause = causes(ended)["disk_full"]
    assert (cause["node"], cause["count"]) == (bad, 1)
    assert "bytes short" in output["error"]
    assert cause["remedy"] in output["error"]
    log = next(each for each in output["logs"] if each["node"] == bad)
    assert "bytes short" in "".join(log["lines"])
    files = evidence.database_files(stack.sources[DATABASE])
    for node in good:
        folder = stack.places.blast_folder(node)
        assert evidence.differing_files(stack.sources[DATABASE], folder, files) == []


def test_partial_success_counts_only_where_it_was_asked_for_and_is_labelled(stack: LaptopStack) -> None:
    with stack.fate.full_disk(stack.up.wiring.node_names[0], megabytes=3):
        output = stack.warm(DATABASE, allow_partial=True)["output"]

    assert (output["status"], output["partial"]) == ("succeeded", True)
    assert (output["nodes_ready"], output["nodes_failed"]) == (2, 1)
    assert "bytes short" in output["error"]


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


def all_wait_for_access(status: dict[str, Any]) -> bool:
    """Whether every node says that it waits for a role."""
    nodes = (status["custom_status"] or {}).get("nodes", [])
    return bool(nodes) and all(node["phase"] == "waiting_for_access" for node in nodes)


def test_a_node_that_falls_silent_is_named_and_waited_for(stack: LaptopStack) -> None:
    node = stack.up.wiring.node_names[2]
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
    with stack.fate.node(node, change={"ready": False}, back={"ready": True}):
        status = stack.await_cause(run_id, "node_not_ready")

    assert causes(status)["node_not_ready"]["node"] == node
    assert status["custom_status"]["nodes_failed"] == 0
    assert stack.finish(run_id)["output"]["status"] == "succeeded"


def test_a_killed_download_is_named_with_its_last_words(stack: LaptopStack) -> None:
    node = stack.up.wiring.node_names[1]
    run_id = stack.start_copying(LARGE_DATABASE)
    stack.fate.cluster("POST", f"nodes/{node}/kill")
    status = stack.await_cause(run_id, "crashed")
    stack.cancel(run_id)

    cause = causes(status)["crashed"]
    assert (cause["node"], cause["count"]) == (node, 1)
    assert "137" in cause["message"]
    (log,) = [each for each in status["custom_status"]["logs"] if each["node"] == node]
    assert log["lines"]


def test_an_evicted_pod_is_replaced_and_fetches_only_what_is_missing(stack: LaptopStack) -> None:
    node = stack.up.wiring.node_names[1]
    log = stack.blob_log()
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
    stack.fate.cluster("POST", f"nodes/{node}/evict")

    output = stack.finish(run_id)["output"]

    assert (output["status"], output["nodes_ready"]) == ("succeeded", 3)
    files = evidence.database_files(stack.sources[LARGE_DATABASE])
    size = sum((stack.sources[LARGE_DATABASE] / name).stat().st_size for name in files)
    assert log.since()[node].bytes < size + IN_FLIGHT_BYTES


def test_a_node_without_room_is_named_while_the_others_are_warmed(stack: LaptopStack) -> None:
    node = stack.up.wiring.node_names[0]
    stack.warm(DATABASE)
    room = {"allocatable": {"memory": "16Gi"}}
    with stack.fate.node(node, change={"allocatable": {"memory": "1Mi"}}, back=room):
        run_id = stack.start(DATABASE)
        status = stack.await_status(
            run_id, lambda status: "unschedulable" in causes(status) and told(status)["nodes_ready"] == 2
        )

    assert "Insufficient memory" in causes(status)["unschedulable"]["message"]
    assert stack.finish(run_id)["output"]["status"] == "succeeded"


def test_a_tainted_node_is_not_targeted(stack: LaptopStack) -> None:
    node = stack.up.wiring.node_names[0]
    taint = {"key": "someone", "value": "elses", "effect": "NoSchedule"}
    with stack.fate.node(node, change={"taints": [taint]}, back={"taints": []}):
        output = stack.warm(DATABASE)["output"]

    assert (output["status"], output["total_jobs"]) == ("succeeded", 2)
    assert node not in {each["node"] for each in output["nodes"]}


def test_a_download_killed_for_want_of_memory_is_named(stack: LaptopStack) -> None:
    with stack.app_settings(WARMUP_ENGINE="azcopy", WARMUP_MEMORY_LIMIT="64Mi"):
        stack.empty_nodes()
        run_id = stack.start(LARGE_DATABASE)
        status = stack.await_cause(run_id, "out_of_memory")
        stack.cancel(run_id)

    assert causes(status)["out_of_memory"]["remedy"] == "raise WARMUP_MEMORY_LIMIT"


def test_a_blob_that_is_replaced_after_the_plan_fails_the_run_with_that_cause(stack: LaptopStack) -> None:
    last = f"{LARGE_DATABASE}.04.nsq"
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
    with blob_replaced(stack, f"{LARGE_DATABASE}/{last}"):
        output = stack.finish(run_id)["output"]

    assert output["status"] == "failed"
    assert (output["causes"][0]["kind"], output["causes"][0]["count"]) == ("changed", 3)
    assert last in output["error"]
    assert output["causes"][0]["remedy"] in output["error"]


def test_a_blob_that_is_gone_after_the_plan_fails_the_run_with_that_cause(stack: LaptopStack) -> None:
    last = f"{LARGE_DATABASE}.04.nsq"
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
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

    output = stack.warm(DATABASE)["output"]

    assert (output["status"], output["nodes_ready"]) == ("failed", 3)
    assert output["error"].startswith(f"nodes hold different bytes of {DATABASE}, the rarest (on {other}); ")
    (cause,) = output["causes"]
    assert (cause["kind"], cause["node"], cause["count"]) == ("digests_differ", other, 1)
    assert "verify_only" in cause["remedy"]
    assert stack.network()["public_access"] == "Disabled"
    mended = stack.warm(DATABASE, verify_only=True)["output"]
    assert mended["status"] == "succeeded"


def test_pods_that_the_api_server_refuses_end_the_run_in_its_own_words(stack: LaptopStack) -> None:
    account = stack.fate.kubernetes("GET", f"{SERVICE_ACCOUNTS}/default")
    stack.fate.kubernetes("DELETE", f"{SERVICE_ACCOUNTS}/default")
    try:
        output = stack.warm(DATABASE)["output"]
    finally:
        named = {"metadata": {"name": account["metadata"]["name"]}}
        stack.fate.kubernetes("POST", SERVICE_ACCOUNTS, named)

    assert output["status"] == "failed"
    assert 'serviceaccount "default" not found' in output["error"]
    assert output["causes"][0]["kind"] == "pod_refused"


def test_pods_that_a_namespace_does_not_allow_end_the_run_and_leave_nothing(stack: LaptopStack) -> None:
    with stack.fate.namespace_labelled("pod-security.kubernetes.io/enforce", "baseline"):
        output = stack.warm(DATABASE)["output"]

    assert output["status"] == "failed"
    assert output["causes"][0]["kind"] == "pod_refused"
    assert 'violates PodSecurity "baseline:latest": hostPath volumes (volume "workspace")' in output["error"]
    assert stack.network()["public_access"] == "Disabled"
    daemon_sets = stack.fate.kubernetes("GET", "/apis/apps/v1/namespaces/default/daemonsets")["items"]
    assert DATABASE not in {item["metadata"]["labels"]["db"] for item in daemon_sets}


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
