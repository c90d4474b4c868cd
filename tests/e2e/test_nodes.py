"""Nodes come and go: who joins is warmed, who leaves is forgotten, who comes too late waits quietly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack
from testkit.waiting import wait_until

from local import evidence
from local.wiring import APP_SUBNET

pytestmark = [pytest.mark.stack, pytest.mark.embedded_cluster]

NEWCOMER = "node-new"


def nodes_total(status: dict[str, Any]) -> int:
    return int((status["custom_status"] or {}).get("total_jobs", 0))


def test_a_node_that_joins_during_a_run_is_warmed_with_the_others(stack: LaptopStack) -> None:
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
    with newcomer(stack):
        output = stack.finish(run_id)["output"]

        assert (output["status"], output["nodes_ready"], output["total_jobs"]) == ("succeeded", 4, 4)
        source, folder = stack.sources[LARGE_DATABASE], stack.places.blast_folder(NEWCOMER)
        assert evidence.differing_files(source, folder, evidence.database_files(source)) == []


def test_a_node_that_leaves_during_a_run_no_longer_counts(stack: LaptopStack) -> None:
    with newcomer(stack):
        run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
        stack.await_status(run_id, lambda status: nodes_total(status) == 4)
    output = stack.finish(run_id)["output"]

    assert (output["status"], output["nodes_ready"], output["total_jobs"]) == ("succeeded", 3, 3)


@pytest.mark.parametrize("verify_only", [False, True])
def test_a_node_that_joins_after_the_end_waits_quietly_until_the_next_start(
    stack: LaptopStack, *, verify_only: bool
) -> None:
    stack.warm(DATABASE)
    stack.warm(DATABASE, verify_only=verify_only)
    with newcomer(stack):
        wait_until(lambda: phase_on_newcomer(stack) == "waiting_for_access")
        (found,) = [each for each in stack.dashboard.warmth()["databases"] if each["name"] == DATABASE]
        (pod,) = pods_on_newcomer(stack)

        assert found["status"] == "Loading"
        assert (found["nodes_ready"], found["nodes_failed"]) == (3, 0)
        assert pod["status"]["initContainerStatuses"][0]["restartCount"] == 0
        assert stack.network()["public_access"] == "Disabled"

        output = stack.warm(DATABASE)["output"]

        assert (output["status"], output["nodes_ready"]) == ("succeeded", 4)


def test_a_dry_run_tells_that_only_the_newcomer_lacks_the_database(stack: LaptopStack) -> None:
    stack.warm(DATABASE)
    rules = {"defaultAction": "Deny", "virtualNetworkRules": [{"id": APP_SUBNET}]}
    # Closed to the nodes, open to the app.
    stack.fate.set_network(publicNetworkAccess="Enabled", networkAcls=rules)
    try:
        before = stack.warm(DATABASE, dry_run=True)["output"]
        with newcomer(stack):
            after = stack.warm(DATABASE, dry_run=True)["output"]
    finally:
        stack.fate.set_network(publicNetworkAccess="Disabled", networkAcls={"defaultAction": "Deny"})

    assert (before["node_count"], before["nodes_lacking"], before["bytes_missing"]) == (3, 0, 0)
    assert (after["node_count"], after["nodes_lacking"]) == (4, 1)
    assert after["bytes_missing"] == after["bytes_per_node"] > 0


def test_a_run_whose_nodes_are_all_gone_ends_with_an_explanation(stack: LaptopStack) -> None:
    run_id = stack.start_copying(LARGE_DATABASE)
    names = stack.up.wiring.node_names
    for name in names:
        stack.fate.cluster("DELETE", f"nodes/{name}")
    try:
        output = stack.finish(run_id)["output"]
    finally:
        for name in names:
            stack.fate.cluster("POST", "nodes", {"name": name})

    assert output["status"] == "failed"
    assert output["error"].startswith("no node is left to warm")
    assert stack.network()["public_access"] == "Disabled"


def pods_on_newcomer(stack: LaptopStack) -> list[dict[str, Any]]:
    own = f"warmup-{DATABASE.replace('_', '-')}-"
    found = (pod for pod in stack.fate.pods() if pod["spec"].get("nodeName") == NEWCOMER)
    return [pod for pod in found if pod["metadata"]["name"].startswith(own)]


def phase_on_newcomer(stack: LaptopStack) -> str:
    report = stack.places.blast_folder(NEWCOMER) / f".warmup/{DATABASE}/report.json"
    return str(json.loads(report.read_text())["phase"]) if report.exists() else ""


@contextmanager
def newcomer(stack: LaptopStack) -> Iterator[None]:
    """Let a fourth node be there for a while."""
    stack.fate.cluster("POST", "nodes", {"name": NEWCOMER})
    try:
        yield
    finally:
        stack.fate.cluster("DELETE", f"nodes/{NEWCOMER}")
