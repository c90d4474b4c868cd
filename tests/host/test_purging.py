"""Purging many: which instances a filter means, the real extension's trap included."""

from urllib.parse import urlencode

import pytest
from testkit.hosting import Answer, RunningHost, Starter

ALL_TIME = "2020-01-01T00:00:00Z"


@pytest.fixture
def host(start_host: Starter) -> RunningHost:
    """One of its own: what is purged here is everybody's."""
    return start_host("--log-level", "error")


@pytest.fixture
def instances(host: RunningHost) -> dict[str, str]:
    """One that waits, one that ended, one that failed."""
    ids = {
        "waits": host.start("wait_go"),
        "ended": host.start("fan_out", 1),
        "failed": host.start("fail_plainly"),
    }
    host.until(ids["waits"], "Running")
    host.until(ids["ended"], "Completed")
    host.until(ids["failed"], "Failed")
    return ids


def purge(host: RunningHost, **query: str) -> Answer:
    return host.ask("DELETE", f"/instances?{urlencode(query)}")


def by_client(host: RunningHost, statuses: str) -> int:
    """The same by the SDK's own client."""
    answer = host.ask("POST", "/api/client/purge_by/-", statuses)
    assert answer.status == 200, answer.body
    return int(answer.json)


def left(host: RunningHost, instances: dict[str, str]) -> set[str]:
    known = {status["instanceId"] for status in host.ask("GET", "/instances").json}
    return {name for name, instance_id in instances.items() if instance_id in known}


@pytest.mark.parametrize("statuses", ["Completed,Failed,Terminated", "Completed,Failed,Terminated,Running"])
def test_with_a_terminal_status_only_what_is_over_goes(
    host: RunningHost, instances: dict[str, str], statuses: str
) -> None:
    answer = purge(host, createdTimeFrom=ALL_TIME, runtimeStatus=statuses)

    assert (answer.status, answer.json) == (200, {"instancesDeleted": 2})
    assert left(host, instances) == {"waits"}


def test_only_the_terminal_status_that_is_named_counts(host: RunningHost, instances: dict[str, str]) -> None:
    answer = purge(host, createdTimeFrom=ALL_TIME, runtimeStatus="Failed")

    assert (answer.status, answer.json) == (200, {"instancesDeleted": 1})
    assert left(host, instances) == {"waits", "ended"}


@pytest.mark.parametrize("query", [{"runtimeStatus": "Running"}, {"runtimeStatus": "Pending,Suspended"}, {}])
def test_without_a_terminal_status_everything_in_the_window_goes_running_ones_too(
    host: RunningHost, instances: dict[str, str], query: dict[str, str]
) -> None:
    answer = purge(host, createdTimeFrom=ALL_TIME, **query)

    assert (answer.status, answer.json) == (200, {"instancesDeleted": 3})
    assert left(host, instances) == set()


def test_what_lies_outside_the_window_stays(host: RunningHost, instances: dict[str, str]) -> None:
    answer = purge(host, createdTimeFrom=ALL_TIME, createdTimeTo="2020-01-02T00:00:00Z")

    assert (answer.status, answer.body) == (404, b"")
    assert left(host, instances) == set(instances)


def test_a_window_without_a_beginning_is_refused(host: RunningHost, instances: dict[str, str]) -> None:
    answer = purge(host, runtimeStatus="Completed")

    assert answer.status == 400
    assert isinstance(answer.json, str)
    assert left(host, instances) == set(instances)


def test_the_client_of_the_sdk_falls_into_the_same_trap(host: RunningHost, instances: dict[str, str]) -> None:
    assert by_client(host, '["Completed", "Failed", "Terminated"]') == 2
    assert left(host, instances) == {"waits"}

    assert by_client(host, '["Running"]') == 1
    assert left(host, instances) == set()


def test_a_purged_instance_that_ran_is_over_for_good(host: RunningHost, instances: dict[str, str]) -> None:
    purge(host, createdTimeFrom=ALL_TIME)

    assert host.raise_event(instances["waits"], "go", 1).status == 404
    again = host.start("wait_go", instance_id=instances["waits"])
    host.until(again, "Running")
    assert host.raise_event(again, "go", 1).status == 202
    assert host.until(again)["output"] == 1
