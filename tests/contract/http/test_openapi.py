"""The API's description: every door in it, and real answers as it says."""

from typing import Any

import pytest
from testkit.doors import SUBSCRIPTION, Doors, smallest

from entrypoints.openapi import ROUTES

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@pytest.fixture
def described(doors: Doors) -> dict[str, Any]:
    document: dict[str, Any] = doors.get("openapi.json").json
    return document


def assert_described(described: dict[str, Any], operation: str, status: int, body: dict[str, Any]) -> None:
    """Fail unless the description names this answer and it holds what was promised."""
    found = next(
        each
        for path in described["paths"].values()
        for each in path.values()
        if each["operationId"] == operation
    )
    answer = found["responses"][str(status)]["content"]["application/json"]["schema"]["$ref"]
    schema = described["components"]["schemas"][answer.rpartition("/")[2]]
    for name in schema["required"]:
        kinds = schema["properties"][name]["type"]
        allowed = [KINDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        assert isinstance(body[name], tuple(kind for group in allowed for kind in group)), name


def test_every_registered_door_is_described_and_no_other(doors: Doors) -> None:
    registered = {
        function["name"]
        for function in doors.host.ask("GET", "/admin/functions").json
        if function["trigger"] == "httpTrigger"
    }

    assert {route.function for route in ROUTES} == registered


def test_answers_are_as_described(doors: Doors, described: dict[str, Any], cluster: str) -> None:
    started = doors.start(smallest(cluster))
    run_id = started.json["instance_id"]
    doors.until_over(run_id)
    where = f"subscription_id={SUBSCRIPTION}&resource_group=rg-elb&cluster_name={cluster}"
    asked = {
        "start_warmup": started,
        "read_warmup_status": doors.get(f"warmup/{run_id}/status"),
        "read_task": doors.get(f"tasks/{run_id}"),
        "list_warmup_nodes": doors.get(f"warmup/{run_id}/nodes"),
        "list_active_warmups": doors.get("warmup/active"),
        "cancel_warmup": doors.post(f"warmup/{run_id}/cancel", ""),
        "release_database": doors.post("warmup/release", smallest(cluster)),
        "read_cluster_warmth": doors.get(f"monitor/aks/warmup-status?{where}"),
        "list_databases": doors.get(
            f"blast/databases?subscription_id={SUBSCRIPTION}&storage_account=blastdata"
        ),
        "read_health": doors.get("health"),
        "read_openapi": doors.get("openapi.json"),
    }

    assert set(asked) == {route.function for route in ROUTES}
    for operation, answer in asked.items():
        assert_described(described, operation, answer.status, answer.json)


def test_refusals_are_as_described(doors: Doors, described: dict[str, Any]) -> None:
    for operation, answer in {
        "start_warmup": doors.start({}),
        "read_warmup_status": doors.get("warmup/short/status"),
        "read_task": doors.get("tasks/0123456789abcdef0123"),
        "read_cluster_warmth": doors.get("monitor/aks/warmup-status"),
        "list_databases": doors.get("blast/databases"),
    }.items():
        assert_described(described, operation, answer.status, answer.json)
