"""The SDK's own durable client against the host."""

from typing import Any

from testkit.hosting import RunningHost


def operate(host: RunningHost, operation: str, instance_id: str) -> Any:
    answer = host.ask("POST", f"/api/client/{operation}/{instance_id}", "")
    assert answer.status == 200, answer.body
    return answer.json


def test_a_run_is_started_watched_and_purged(host: RunningHost) -> None:
    instance_id = host.start("fan_out", 3)
    assert operate(host, "wait", instance_id) == {"sum": 5, "sum_async": 5}
    status = operate(host, "status", instance_id)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", {"sum": 5, "sum_async": 5})
    assert operate(host, "purge", instance_id) == 1
    assert operate(host, "purge", instance_id) == 0


def test_a_run_is_suspended_resumed_and_told_of_an_event(host: RunningHost) -> None:
    instance_id = host.start("wait_go")
    host.until(instance_id, "Running")
    assert instance_id in operate(host, "list", "-")
    operate(host, "suspend", instance_id)
    assert host.until(instance_id, "Suspended")["output"] == "a reason"
    assert instance_id not in operate(host, "list", "-")
    operate(host, "raise_event", instance_id)
    operate(host, "resume", instance_id)
    # The client encodes twice, as against the real extension.
    assert host.until(instance_id)["output"] == '{"by": "client"}'


def test_a_run_is_terminated_with_a_reason(host: RunningHost) -> None:
    instance_id = host.start("wait_go")
    host.until(instance_id, "Running")
    operate(host, "terminate", instance_id)
    assert host.until(instance_id)["output"] == "a reason"


def test_a_start_over_a_running_id_is_an_error_of_the_client(host: RunningHost) -> None:
    instance_id = host.start("wait_go")
    host.until(instance_id, "Running")
    assert host.ask("POST", f"/api/start/wait_go?id={instance_id}", "").status == 500
