"""Watching a run: status, task, nodes and what is in flight."""

import uuid

import pytest
from testkit.doors import Doors, smallest

UNKNOWN = "0123456789abcdef0123456789abcdef"


def test_the_phase_is_never_warming_up_before_there_are_counts(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]

    shown = doors.until_phase(run_id, "warming_up")

    assert shown["runtime_status"] == "Running"
    assert shown["output"] is None
    step = shown["custom_status"]["steps"]["warming_up"]
    assert (step["ready"], step["total"]) == (2, 3)
    assert shown["custom_status"]["nodes_active"] == 1
    assert shown["custom_status"]["db"] == "core_nt"


def test_a_failed_run_is_completed_and_its_error_begins_with_the_cause(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node1": "failed"})

    over = doors.until_over(doors.start(smallest(cluster)).json["instance_id"])

    assert over["runtime_status"] == "Completed"
    assert over["output"]["status"] == "failed"
    assert over["output"]["error"].startswith("the disk is 3 GB short")
    assert over["custom_status"]["phase"] == "failed"


def test_a_stopped_cluster_ends_the_run_before_the_account_is_touched(doors: Doors, cluster: str) -> None:
    doors.world(power="Stopped")
    before = len(doors.acts("opened"))

    over = doors.until_over(doors.start(smallest(cluster)).json["instance_id"])

    assert "stopped" in over["output"]["error"][:100]
    assert len(doors.acts("opened")) == before


def test_what_was_not_there_is_found_as_soon_as_it_is(doors: Doors, cluster: str) -> None:
    body, nonce = smallest(cluster), uuid.uuid4().hex
    planned = doors.start(body | {"dry_run": True}, nonce).json["instance_id"]
    doors.host.until_true(
        lambda: doors.host.ask("DELETE", f"/instances/{planned}").status, lambda status: status == 200
    )
    assert doors.get(f"warmup/{planned}/status").status == 404

    again = doors.start(body | {"dry_run": True}, nonce).json["instance_id"]

    assert again == planned
    assert doors.get(f"warmup/{planned}/status").status == 200


def test_a_task_is_202_while_it_runs_and_200_when_it_is_over(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    started = doors.start(smallest(cluster)).json
    run_id = started["instance_id"]
    doors.until_phase(run_id, "warming_up")

    running = doors.get(started["statusQueryGetUri"].removeprefix("/api/"))
    doors.world()
    doors.until_over(run_id)
    over = doors.get(f"tasks/{run_id}")

    assert running.status == 202
    assert running.headers["Location"] == f"/api/tasks/{run_id}"
    assert int(running.headers["Retry-After"]) > 0
    assert (over.status, over.json["runtimeStatus"]) == (200, "Completed")
    assert set(over.json) == {
        "name",
        "instanceId",
        "runtimeStatus",
        "input",
        "customStatus",
        "output",
        "createdTime",
        "lastUpdatedTime",
    }
    assert over.json["input"] is None


def test_what_ended_from_outside_still_has_an_output_to_read(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(run_id, "warming_up")

    doors.host.ask("POST", f"/instances/{run_id}/terminate?reason=enough")
    over = doors.until_over(run_id)

    assert over["runtime_status"] == "Terminated"
    assert over["output"] == {"status": "cancelled", "db": "core_nt", "error": "enough"}


@pytest.mark.parametrize("where", ["warmup/{}/status", "tasks/{}", "warmup/{}/nodes"])
def test_an_unknown_run_is_404_and_a_malformed_id_400(doors: Doors, where: str) -> None:
    assert doors.get(where.format(UNKNOWN)).status == 404
    for malformed in ("short", "a" * 65, "with%20space%20in%20it", "@counter@key0000000"):
        assert doors.get(where.format(malformed)).status == 400


def test_runs_in_flight_are_listed_whoever_started_them(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(run_id, "warming_up")

    listed = doors.get("warmup/active")

    assert (listed.status, listed.json["active"]) == (200, True)
    row = next(row for row in listed.json["warmups"] if row["instance_id"] == run_id)
    assert (row["db"], row["cluster"], row["phase"]) == ("core_nt", cluster, "warming_up")
    doors.world()
    doors.until_over(run_id)
    assert run_id not in {row["instance_id"] for row in doors.get("warmup/active").json["warmups"]}


def test_nodes_are_paged_with_all_that_is_known_of_each(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying", "node1": "failed"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(run_id, "warming_up")

    first = doors.get(f"warmup/{run_id}/nodes?top=2").json
    rest = doors.get(f"warmup/{run_id}/nodes?top=2&continuation={first['continuation']}").json

    assert (first["total"], first["continuation"], rest["continuation"]) == (3, "2", None)
    nodes = {node["node"]: node for node in first["nodes"] + rest["nodes"]}
    assert [nodes[name]["state"] for name in sorted(nodes)] == ["active", "failed", "ready"]
    assert nodes["node0"]["bytes_done"] == 50
    assert nodes["node1"]["cause"]["kind"] == "disk_full"


@pytest.mark.parametrize("query", ["top=-1", "top=x", "top=501", "continuation=%00", "continuation=1e3"])
def test_a_page_out_of_bounds_is_400(doors: Doors, cluster: str, query: str) -> None:
    run_id = doors.start(smallest(cluster)).json["instance_id"]

    assert doors.get(f"warmup/{run_id}/nodes?{query}").status == 400


def test_status_and_health_answer_while_the_cluster_is_frozen(doors: Doors, cluster: str) -> None:
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_over(run_id)
    doors.world(frozen=["clusters", "monitor"])

    frozen = doors.get(f"warmup/{run_id}/nodes")

    assert frozen.status == 503
    assert doors.get("health").json == {"status": "ok"}
    assert doors.status(run_id)["runtime_status"] == "Completed"
