"""What cannot become a warm cluster is refused with a sentence, before anything is touched."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.stack import DATABASE, LaptopStack

from local.clusters import REGISTRY
from local.staging import CONTAINER
from local.wiring import APP_SUBNET, CLUSTER, DATA_ACCOUNT, RESOURCE_GROUP

pytestmark = pytest.mark.stack

Json = dict[str, Any]
_OBJECTS = ("/api/v1/namespaces/default/configmaps", "/apis/apps/v1/namespaces/default/daemonsets")


def half_copied(metadata: Json) -> Json:
    return metadata | {"copy_status": metadata["copy_status"] | {"phase": "copying", "pending": 3}}


def being_updated(metadata: Json) -> Json:
    return metadata | {"update_in_progress": True}


def larger(metadata: Json) -> Json:
    return metadata | {"bytes-total": metadata["bytes-total"] + 1}


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        (f"{DATABASE}-metadata.json", half_copied, "is half copied: its copy is 'copying'"),
        (f"{DATABASE}-metadata.json", being_updated, "is being replaced by a newer version"),
        (f"{DATABASE}/{DATABASE}-nucl-metadata.json", larger, "a file is cut short or of another version"),
    ],
)
def test_a_database_that_is_not_whole_is_refused(
    stack: LaptopStack, name: str, changed: Callable[[Json], Json], told: str
) -> None:
    before, objects = stack.network(), written(stack)
    with metadata_changed(stack, name, changed):
        output = stack.warm(DATABASE)["output"]

    assert output["status"] == "failed"
    assert told in output["error"]
    assert (stack.network(), written(stack)) == (before, objects)


def test_a_stopped_cluster_is_refused_before_the_account_is_touched(stack: LaptopStack) -> None:
    writes = stack.fate.arm_writes()
    stack.fate.azure("PUT", f"power/{CLUSTER}", {"state": "Stopped"})
    try:
        output = stack.warm(DATABASE)["output"]
    finally:
        stack.fate.azure("PUT", f"power/{CLUSTER}", {"state": "Running"})

    assert output["error"] == f"cluster '{CLUSTER}' is stopped; start it and start the warm-up again"
    assert stack.fate.arm_writes() == writes


def test_a_dry_run_tells_its_plan_and_touches_nothing(stack: LaptopStack) -> None:
    # Closed to the nodes, open to the app: as behind a network rule.
    rules = {"defaultAction": "Deny", "virtualNetworkRules": [{"id": APP_SUBNET}]}
    stack.fate.set_network(publicNetworkAccess="Enabled", networkAcls=rules)
    before = (stack.fate.arm_writes(), written(stack), stack.network())
    try:
        output = stack.warm(DATABASE, dry_run=True, acr_name=REGISTRY, acr_resource_group=RESOURCE_GROUP)[
            "output"
        ]

        assert (stack.fate.arm_writes(), written(stack), stack.network()) == before
    finally:
        stack.fate.set_network(publicNetworkAccess="Disabled", networkAcls={"defaultAction": "Deny"})
    size = sum(file.stat().st_size for file in stack.sources[DATABASE].iterdir() if file.suffix)
    assert output["status"] == "planned"
    assert output["node_count"] == 3
    assert output["bytes_per_node"] >= size
    assert output["deadline"] > output["steps"]["configuring"]["completed_at"]
    assert output["would_open"] == [DATA_ACCOUNT]
    roles = {each["role"]: each["outcome"] for each in output["steps"]["roles"]["results"]}
    assert set(roles) == {"Storage Blob Data Reader", "AcrPull"}
    lacking = [role for role, outcome in roles.items() if outcome == "lacking"]
    assert [told.partition(" on ")[0] for told in output["would_grant"]] == lacking
    assert isinstance(output["eta_seconds"], int)
    assert (output["nodes_lacking"], output["bytes_missing"]) == (3, 3 * output["bytes_per_node"])


def test_a_dry_run_of_a_closed_account_plans_what_it_can_see(stack: LaptopStack) -> None:
    writes = stack.fate.arm_writes()
    output = stack.warm(DATABASE, dry_run=True)["output"]

    assert (output["status"], output["node_count"]) == ("planned", 3)
    assert (output["would_open"], output["generations"], output["eta_seconds"]) == ([DATA_ACCOUNT], [], None)
    assert stack.fate.arm_writes() == writes


@pytest.mark.embedded_cluster
def test_a_cluster_whose_policy_forbids_host_paths_is_refused_in_its_words(stack: LaptopStack) -> None:
    before = stack.network()
    with stack.fate.safeguards("gatekeeper"):
        output = stack.warm(DATABASE)["output"]

    assert output["status"] == "failed", output
    assert output["error"].startswith(f"a policy of cluster '{CLUSTER}' forbids the warm-up's pods (")
    assert "HostPath volume" in output["error"]
    assert stack.network() == before
    assert stack.fate.kubernetes("GET", _OBJECTS[1])["items"] == []


def written(stack: LaptopStack) -> list[tuple[str, str]]:
    """Every object of a warm-up, by name and version."""
    items = [item for path in _OBJECTS for item in stack.fate.kubernetes("GET", path)["items"]]
    return [(item["metadata"]["name"], item["metadata"]["resourceVersion"]) for item in items]


@contextmanager
def metadata_changed(stack: LaptopStack, name: str, changed: Callable[[Json], Json]) -> Iterator[None]:
    """Let a database's metadata say something else for a while."""
    with stack.up.wiring.staging_server.client() as account:
        blob = account.get_blob_client(CONTAINER, name)
        kept = blob.download_blob().readall()
        blob.upload_blob(json.dumps(changed(json.loads(kept))), overwrite=True)
        try:
            yield
        finally:
            blob.upload_blob(kept, overwrite=True)
