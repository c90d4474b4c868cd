"""Starting, cancelling and releasing, as both generations of the dashboard ask for it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testkit.doors import SUBSCRIPTION, Doors, smallest
from testkit.hosting import REPOSITORY

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}


def test_the_smallest_body_starts_a_run_that_succeeds(doors: Doors, cluster: str) -> None:
    answer = doors.start(smallest(cluster))

    assert answer.status == 202
    run_id = answer.json["instance_id"]
    assert answer.json == {
        "instance_id": run_id,
        "id": run_id,
        "task_id": run_id,
        "db": "core_nt",
        "status": "queued",
        "statusQueryGetUri": f"/api/tasks/{run_id}",
    }
    assert re.fullmatch(r"[A-Za-z0-9]{16,64}", run_id)  # the older dashboard takes no other
    assert answer.headers["Location"] == f"/api/tasks/{run_id}"
    assert int(answer.headers["Retry-After"]) > 0
    assert doors.until_over(run_id)["output"]["status"] == "succeeded"


def test_the_older_dashboards_full_body_is_understood(doors: Doors, cluster: str) -> None:
    body = smallest(cluster, "swissprot") | {
        "storage_resource_group": "rg-data",
        "region": "koreacentral",
        "program": "blastp",
        "machine_type": "Standard_E16s_v5",
        "num_nodes": 3,
        "acr_resource_group": "rg-acr",
        "acr_name": "elbacr",
        "terminal_resource_group": "rg-elb-terminal",
        "terminal_vm_name": "vm-elb-terminal",
    }

    assert doors.start(body).status == 202


def test_the_newer_dashboards_names_are_understood(doors: Doors, cluster: str) -> None:
    body = smallest(cluster)
    body |= {"database_name": body.pop("db_display_name"), "cluster_name": body.pop("aks_cluster_name")}
    del body["db"]

    assert doors.start(body).json["db"] == "core_nt"


def test_every_answer_carries_the_security_headers(doors: Doors, cluster: str) -> None:
    for answer in (doors.start(smallest(cluster)), doors.start({}), doors.get("health")):
        assert all(answer.headers.get_all(name) == [value] for name, value in SECURITY_HEADERS.items())
        assert answer.headers["Content-Type"].startswith("application/json")


def test_a_retried_start_is_the_same_run_even_when_it_is_over(doors: Doors, cluster: str) -> None:
    first = doors.start(smallest(cluster), "one-click")
    doors.until_over(first.json["instance_id"])

    again = doors.start(smallest(cluster), "one-click")

    assert (again.status, again.json["instance_id"]) == (202, first.json["instance_id"])
    assert len([a for a in doors.acts("applied") if a["run_id"] == first.json["instance_id"]]) == 1


def test_a_second_start_after_the_end_is_a_new_run(doors: Doors, cluster: str) -> None:
    first = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_over(first)

    assert doors.start(smallest(cluster)).json["instance_id"] != first


def test_fifty_simultaneous_starts_are_one_run(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})

    with ThreadPoolExecutor(max_workers=50) as crowd:
        answers = list(crowd.map(lambda _: doors.start(smallest(cluster)), range(50)))

    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["instance_id"] for answer in answers}) == 1
    assert sum("already_running" not in answer.json for answer in answers) == 1


def test_a_run_that_covers_the_wish_is_named_instead_of_another(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    both = doors.start(smallest(cluster) | {"databases": ["core_nt", "nt"]})

    one = doors.start(smallest(cluster, "nt"))

    assert one.json["instance_id"] == both.json["instance_id"]
    assert one.json["already_running"] is True


def test_a_partial_overlap_names_the_run_and_its_databases(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.start(smallest(cluster))

    second = doors.start(smallest(cluster) | {"databases": ["core_nt", "nt"]})

    assert second.status == 409
    assert first.json["instance_id"] in second.json["error"]
    assert "core_nt" in second.json["error"]
    assert "already_running" not in doors.start(smallest(cluster, "nt")).json  # nothing of it was kept


def test_another_purpose_does_not_share_a_run(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.start(smallest(cluster))

    second = doors.start(smallest(cluster) | {"verify_only": True})

    assert second.status == 409
    assert first.json["instance_id"] in second.json["error"]


def test_a_start_from_another_account_is_no_part_of_a_live_run(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.start(smallest(cluster))

    second = doors.start(smallest(cluster) | {"storage_account": "otheraccount"})

    assert second.status == 409
    assert first.json["instance_id"] in second.json["error"]


def test_a_dry_run_plans_and_holds_nothing(doors: Doors, cluster: str) -> None:
    planned = doors.start(smallest(cluster) | {"dry_run": True}).json["instance_id"]

    output = doors.until_over(planned)["output"]

    assert (output["status"], output["node_count"]) == ("planned", 3)
    assert not [act for act in doors.acts("applied") if act["run_id"] == planned]


def test_a_start_under_the_id_of_its_dry_run_is_a_run_of_its_own(doors: Doors, cluster: str) -> None:
    planned = doors.start(smallest(cluster) | {"dry_run": True}, "one-id").json["instance_id"]

    started = doors.start(smallest(cluster), "one-id").json["instance_id"]

    assert started != planned
    assert doors.until_over(started)["output"]["status"] == "succeeded"


def test_claims_out_of_reach_are_503_and_start_nothing(doors: Doors, cluster: str) -> None:
    doors.world(silent=["claims"])

    answer = doors.start(smallest(cluster), "unlucky")

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    doors.world()
    assert doors.start(smallest(cluster), "unlucky").status == 202


def test_a_terminated_runs_claim_is_taken_over(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(first, "warming_up")
    doors.host.ask("POST", f"/instances/{first}/terminate?reason=enough")
    doors.until_over(first)

    second = doors.start(smallest(cluster))

    assert second.status == 202
    assert "already_running" not in second.json


def test_a_claim_whose_run_is_unheard_of_counts_while_it_is_young(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(first, "warming_up")
    doors.between_two_rounds()  # a janitor that finds it terminated, and not purged yet, gives its claim up
    doors.host.ask("POST", f"/instances/{first}/terminate?reason=enough")
    doors.until_over(first)
    doors.host.ask("DELETE", f"/instances/{first}")

    young = doors.start(smallest(cluster))
    doors.world(seconds_ahead=600)
    old = doors.start(smallest(cluster))

    assert (young.status, old.status) == (503, 202)
    assert first in young.json["error"]


def test_a_cancelled_run_ends_within_one_look(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(run_id, "warming_up")

    answer = doors.post(f"warmup/{run_id}/cancel", "")

    assert (answer.status, answer.json["status"]) == (202, "cancelling")
    assert doors.until_over(run_id)["output"]["status"] == "cancelled"
    assert [act["run_id"] for act in doors.acts("removed")][-1] == run_id


def test_cancelling_what_is_over_changes_nothing(doors: Doors, cluster: str) -> None:
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_over(run_id)

    answer = doors.post(f"warmup/{run_id}/cancel", "")

    assert (answer.status, answer.json["status"]) == (200, "over")


def test_a_run_that_is_being_cancelled_is_nobodys_answer(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    run_id = doors.start(smallest(cluster)).json["instance_id"]
    doors.until_phase(run_id, "warming_up")
    doors.post(f"warmup/{run_id}/cancel", "")

    answer = doors.start(smallest(cluster))

    assert answer.status in (202, 409)  # 202 only once the cancelled one is over
    assert answer.json.get("instance_id") != run_id


def test_cancelling_an_unknown_run_is_404(doors: Doors) -> None:
    assert doors.post("warmup/0123456789abcdef0123/cancel", "").status == 404


def released(doors: Doors, cluster: str, **more: object) -> dict[str, Any]:
    """What was rolled out by a release that is asked for by its least body."""
    answer = doors.post("warmup/release", least(cluster) | more)
    assert answer.status == 202, answer.body
    run_id = answer.json["instance_id"]
    assert doors.until_over(run_id)["output"]["status"] == "succeeded"
    (applied,) = (act for act in doors.acts("applied") if act["run_id"] == run_id)
    return applied


def least(cluster: str, db: str = "core_nt") -> dict[str, object]:
    return {
        "subscription_id": SUBSCRIPTION,
        "resource_group": "rg-elb",
        "aks_cluster_name": cluster,
        "db": db,
    }


def test_a_release_runs_on_the_image_that_the_nodes_have(doors: Doors, cluster: str) -> None:
    doors.world(sight={"daemon_sets": [daemon_set("core_nt")]})

    applied = released(doors, cluster)

    assert (applied["mode"], applied["image"]) == ("release", "elbacr.azurecr.io/ncbi/elb:1.3.9")


def test_a_database_that_is_no_longer_staged_is_released(doors: Doors, cluster: str) -> None:
    applied = released(doors, cluster, db="absent")

    assert (applied["account"], applied["files"]) == (None, 0)
    assert applied["image"] == "elbacr.azurecr.io/ncbi/elb:1.4.0"


def test_a_release_needs_neither_the_account_nor_its_container(doors: Doors, cluster: str) -> None:
    doors.world(silent=["accounts", "catalog"])
    before = len(doors.acts("opened"))

    released(doors, cluster, storage_account="gone")

    assert len(doors.acts("opened")) == before


def test_a_release_that_names_its_registry_does_not_ask_what_runs_there(doors: Doors, cluster: str) -> None:
    doors.world(silent=["monitor"])

    assert released(doors, cluster, acr_name="elbacr")["image"] == "elbacr.azurecr.io/ncbi/elb:1.4.0"
    assert doors.post("warmup/release", least(cluster)).status == 503


def test_a_release_and_a_warm_up_of_one_database_are_never_one_run(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    warming = doors.start(smallest(cluster)).json["instance_id"]

    refused = doors.post("warmup/release", least(cluster))

    assert refused.status == 409
    assert f"run {warming} is at these databases (warm)" in refused.json["error"]


def test_two_releases_of_one_database_are_one_run(doors: Doors, cluster: str) -> None:
    doors.world(nodes={"node0": "copying"})
    first = doors.post("warmup/release", least(cluster))

    second = doors.post("warmup/release", least(cluster))
    start = doors.start(smallest(cluster))

    assert second.json["instance_id"] == first.json["instance_id"]
    assert (start.status, "(release)" in start.json["error"]) == (409, True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subscription_id": None}, "subscription_id"),
        ({"subscription_id": "not-a-uuid"}, "subscription_id"),
        ({"resource_group": "rg\n"}, "resource_group"),
        ({"resource_group": ["rg"]}, "resource_group"),
        ({"storage_account": "Upper"}, "storage_account"),
        ({"storage_account": "blastdatа"}, "storage_account"),  # noqa: RUF001 - a Cyrillic letter
        ({"aks_cluster_name": "c1; rm -rf /"}, "aks_cluster_name"),
        ({"db": "https://evil.example/blast-db/core_nt"}, "db"),
        ({"db": "../../etc/passwd"}, "db"),
        ({"db": "core_nt$(reboot)"}, "db"),
        ({"db": "core_nt\r\nX: y"}, "db"),
        ({"db": {"name": "core_nt"}}, "db"),
        ({"databases": ["core_nt"] * 17}, "databases"),
        ({"databases": [7]}, "db"),
        ({"max_mbps_per_node": "fast"}, "max_mbps_per_node"),
        ({"max_mbps_per_node": True}, "max_mbps_per_node"),
        ({"verify_only": "yes"}, "verify_only"),
        ({"acr_name": "acr/../x"}, "acr_name"),
    ],
)
def test_a_field_that_breaks_its_rule_is_400_and_named(
    doors: Doors, cluster: str, changes: dict[str, object], field: str
) -> None:
    answer = doors.start(smallest(cluster) | changes)

    assert answer.status == 400
    assert field in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '"text"',
        "7",
        "null",
        "[" * 20_000,
        '{"db": ' * 8_000,
        '{"db": NaN}',
        '{"db": -Infinity}',
        '{"db": "\\ud800"}',
        '{"db": "\\u0000"}',
        '{"num_nodes": ' + "9" * 5_000 + "}",
    ],
    ids=range(13),
)
def test_what_is_no_object_is_400(doors: Doors, body: str) -> None:
    answer = doors.post("warmup/start", body)

    assert answer.status == 400
    assert set(answer.json) == {"error"}


def test_a_huge_body_is_413(doors: Doors) -> None:
    assert doors.post("warmup/start", '{"db": "' + "a" * 70_000 + '"}').status == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "whatever"])
def test_an_encoded_body_is_400(doors: Doors, encoding: str) -> None:
    answer = doors.post("warmup/start", "{}", **{"content-encoding": encoding})

    assert (answer.status, "Content-Encoding" in answer.json["error"]) == (400, True)


def test_a_field_that_is_named_twice_is_400(doors: Doors, cluster: str) -> None:
    """What stands before the app may have judged the other one."""
    body = json.dumps(smallest(cluster))[:-1] + ', "aks_cluster_name": "other"}'

    answer = doors.post("warmup/start", body)

    assert (answer.status, "aks_cluster_name" in answer.json["error"]) == (400, True)


def test_what_the_platform_itself_answers_carries_the_headers_too(doors: Doors) -> None:
    for answer in (doors.get("no/such/door"), doors.get("warmup/start"), doors.post("health", {})):
        assert answer.status in (404, 405)
        assert {name: answer.headers.get_all(name) for name in SECURITY_HEADERS} == {
            name: [value] for name, value in SECURITY_HEADERS.items()
        }


def test_the_platform_is_told_the_headers_that_the_doors_send() -> None:
    http = json.loads((REPOSITORY / "host.json").read_text())["extensions"]["http"]

    assert http["customHeaders"] == SECURITY_HEADERS


def daemon_set(name: str) -> dict[str, object]:
    """A DaemonSet as a warm-up leaves it, as far as a release reads it."""
    environment = [{"name": "WARMUP_BLOB_ENDPOINT", "value": "https://blastdata.blob.core.windows.net/"}]
    container = {"name": "download-db", "image": "elbacr.azurecr.io/ncbi/elb:1.3.9", "env": environment}
    return {
        "metadata": {
            "name": "warmup-core-nt",
            "uid": "ds-1",
            "annotations": {"elastic-blast-warmup/database": f"{name}/{name}"},
        },
        "spec": {"template": {"spec": {"initContainers": [container]}}},
        "status": {},
    }
