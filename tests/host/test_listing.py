"""Listing instances: filters, and pages that follow each other to the end."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from testkit.hosting import RunningHost, Starter

Json = dict[str, Any]

TOKEN = "x-ms-continuation-token"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Seven that ended, two that wait, one that failed; nobody else's."""
    starter = Starter(tmp_path_factory.mktemp("listing"))
    found = starter("--log-level", "error")
    ended = [found.start("fan_out", 1, instance_id=f"ended-{number}") for number in range(7)]
    waiting = [found.start("wait_go", instance_id=f"waits-{number}") for number in range(2)]
    failed = found.start("fail_plainly", instance_id="failed-0")
    for each in [*ended, failed]:
        found.until(each)
    for each in waiting:
        found.until(each, "Running")
    yield found
    starter.end_all()


def listed(host: RunningHost, **query: Any) -> list[str]:
    found = host.ask("GET", f"/instances?{urlencode(query, doseq=True)}").json
    return [status["instanceId"] for status in found]


def pages(host: RunningHost, **query: Any) -> Iterator[list[str]]:
    """Page after page, as a client follows the token."""
    headers: dict[str, str] = {}
    while True:
        answer = host.ask("GET", f"/instances?{urlencode(query, doseq=True)}", headers=headers)
        yield [status["instanceId"] for status in answer.json]
        token = answer.headers[TOKEN]
        if not token:
            return
        headers = {TOKEN: token}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"runtimeStatus": "Running"}, {"waits-0", "waits-1"}),
        ({"runtimeStatus": ["Running", "Failed"]}, {"waits-0", "waits-1", "failed-0"}),
        ({"runtimeStatus": "Failed,Terminated"}, {"failed-0"}),
        ({"instanceIdPrefix": "waits-"}, {"waits-0", "waits-1"}),
        ({"instanceIdPrefix": "waits-", "runtimeStatus": "Completed"}, set()),
        ({"createdTimeFrom": "2099-01-01T00:00:00Z"}, set()),
        ({"createdTimeTo": "2020-01-01T00:00:00Z"}, set()),
        ({"createdTimeFrom": "2020-01-01T00:00:00Z", "runtimeStatus": "Failed"}, {"failed-0"}),
    ],
)
def test_filters_narrow_the_list_together(host: RunningHost, query: Json, expected: set[str]) -> None:
    assert set(listed(host, **query)) == expected


@pytest.mark.parametrize("top", [1, 3, 10, 50])
def test_pages_give_every_instance_once(host: RunningHost, top: int) -> None:
    found = list(pages(host, top=top))

    assert all(len(page) <= top for page in found)
    assert sorted(each for page in found for each in page) == sorted(listed(host))


def test_a_filter_holds_from_page_to_page(host: RunningHost) -> None:
    found = [each for page in pages(host, top=2, runtimeStatus="Completed") for each in page]

    assert sorted(found) == [f"ended-{number}" for number in range(7)]


def test_an_instance_that_joins_between_two_pages_repeats_none(host: RunningHost) -> None:
    following = pages(host, top=4, instanceIdPrefix="ended-")
    first = next(following)
    host.until(host.start("fan_out", 1, instance_id="ended-00"))
    rest = [each for page in following for each in page]
    host.ask("DELETE", "/instances/ended-00")

    assert len({*first, *rest}) == len([*first, *rest])
    assert {f"ended-{number}" for number in range(7)} <= {*first, *rest}
