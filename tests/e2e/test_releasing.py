"""Databases leave the nodes by their name alone, whatever became of where they came from."""

from typing import Any

import pytest
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack

from local import evidence, wiring

pytestmark = pytest.mark.stack
WHERE = {
    "subscription_id": wiring.SUBSCRIPTION,
    "resource_group": wiring.RESOURCE_GROUP,
    "aks_cluster_name": wiring.CLUSTER,
}


def release(stack: LaptopStack, database: str) -> dict[str, Any]:
    """Ask with the least body and wait; the last status."""
    status, answer = stack.ask("POST", "warmup/release", WHERE | {"db": database})
    assert status == 202, answer
    return stack.finish(answer["instance_id"])


def left_on_nodes(stack: LaptopStack, database: str) -> set[str]:
    """What the nodes still hold of a database."""
    files = evidence.database_files(stack.sources[database])
    folders = [stack.places.blast_folder(node) for node in stack.up.wiring.node_names]
    return {name for name in files for folder in folders if (folder / name).exists()}


def unstage(stack: LaptopStack, database: str) -> None:
    """Delete all that the container holds of it."""
    with stack.up.wiring.staging_server.client() as service:
        container = service.get_container_client("blast-db")
        for blob in [*container.list_blob_names(name_starts_with=database)]:
            container.delete_blob(blob)


def test_a_database_that_is_no_longer_staged_leaves_every_node_and_no_other_does(stack: LaptopStack) -> None:
    for database in (DATABASE, LARGE_DATABASE):
        stack.warm(database)
    unstage(stack, DATABASE)
    before = stack.fate.azure("GET", "state")["networks"]

    ended = release(stack, DATABASE)

    assert ended["output"]["status"] == "succeeded", ended
    others = evidence.database_files(stack.sources[LARGE_DATABASE])  # the taxonomy is everybody's
    assert left_on_nodes(stack, DATABASE) <= others
    assert left_on_nodes(stack, LARGE_DATABASE) == others
    assert DATABASE not in {row["name"] for row in stack.dashboard.warmth()["databases"]}
    assert stack.fate.azure("GET", "state")["networks"] == before  # nobody opened the account


def test_what_no_node_holds_is_released_at_once(stack: LaptopStack) -> None:
    assert release(stack, "never_there")["output"]["status"] == "succeeded"
