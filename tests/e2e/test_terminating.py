"""A run that is ended through the management API in mid-copy: nothing of it runs any more to wind it up."""

import time
from typing import Any

import pytest
from testkit.fate import OPENING_AND_CLOSING
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack

pytestmark = pytest.mark.stack

PUT_AWAY_SECONDS = 300.0  # promised to operators; an owner is young for two minutes
TERMINATE = "runtime/webhooks/durabletask/instances/{}/terminate?reason=enough"


def test_a_terminated_run_is_put_away_within_five_minutes_and_no_pod_crashes(stack: LaptopStack) -> None:
    before, writes = stack.network(), len(stack.fate.arm_writes())
    run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=1)

    stack.fate.host("POST", TERMINATE.format(run_id))

    deadline, restarts = time.monotonic() + PUT_AWAY_SECONDS, 0
    while stack.network() != before or (pods := stack.fate.pods()):
        assert time.monotonic() < deadline, (stack.network(), pods)
        restarts = max([restarts, *(_restarts(pod) for pod in stack.fate.pods())])
        time.sleep(1)
    assert restarts == 0
    assert stack.fate.network_changes(writes) == OPENING_AND_CLOSING
    assert stack.ask("GET", f"warmup/{run_id}/status")[1]["runtime_status"] == "Terminated"
    assert stack.warm(DATABASE)["output"]["status"] == "succeeded"


def _restarts(pod: dict[str, Any]) -> int:
    statuses = pod.get("status", {}).get("initContainerStatuses") or ()
    return max((int(each["restartCount"]) for each in statuses), default=0)
