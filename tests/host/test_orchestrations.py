"""Orchestrations on a real host, replayed by the real SDK."""

import json

import pytest
from testkit.hosting import RunningHost


def test_activities_fan_out_and_in(host: RunningHost) -> None:
    status = host.run("fan_out", 6)
    assert status["output"] == {"sum": 55, "sum_async": 55}
    assert status["customStatus"] == {"phase": "done"}


def test_a_timer_fires_when_it_is_due(host: RunningHost) -> None:
    assert host.run("one_timer", 0.3)["output"] >= 0


def test_a_failing_activity_is_tried_again(host: RunningHost) -> None:
    plan = {"key": "again", "works_at": 3, "attempts": 3, "interval_ms": 50}
    assert host.run("retrying", plan)["output"] == {"result": "worked at 3"}


def test_the_last_failure_surfaces(host: RunningHost) -> None:
    plan = {"key": "never", "works_at": 9, "attempts": 2, "interval_ms": 50}
    error = "Activity function 'flaky' failed: ValueError: attempt 2 "
    assert host.run("retrying", plan)["output"] == {"error": error}


def test_an_activitys_error_arrives_as_the_real_one_does(host: RunningHost) -> None:
    output = host.run("error_text", "no luck")["output"]
    reason, _, details = output["text"].partition(" \n ")
    assert output["type"] == "Exception"
    assert reason == "Activity function 'fail' failed: ValueError: no luck"
    inner = json.loads(details)["InnerException"]
    assert inner["RemoteMessage"] == "ValueError: no luck"
    assert "function_app.py" in inner["RemoteStackTrace"]
    assert "local/host" not in inner["RemoteStackTrace"]


def test_an_activity_that_fails_without_a_word_has_failed(host: RunningHost) -> None:
    assert host.run("error_text", "")["output"]["text"].startswith(
        "Activity function 'fail' failed: ValueError:"
    )


def test_code_that_would_end_the_worker_has_failed_and_the_host_goes_on(host: RunningHost) -> None:
    assert host.run("error_text", "leave")["output"]["text"].startswith(
        "Activity function 'fail' failed: WorkerEndedError: the function called sys.exit(3)"
    )
    assert host.run("fan_out", 3)["output"] == {"sum": 5, "sum_async": 5}


def test_an_event_is_waited_for(host: RunningHost) -> None:
    instance_id = host.start("wait_go")
    assert host.raise_event(instance_id, "GO", {"k": 1}).status == 202
    assert host.status(instance_id)["runtimeStatus"] in {"Pending", "Running"}
    host.raise_event(instance_id, "go", {"k": 2})
    assert host.until(instance_id)["output"] is not None


def test_each_generation_begins_anew(host: RunningHost) -> None:
    status = host.run("count_generations", 0)
    assert status["output"] == {"last": 3}
    assert status["input"] == "3"


def test_a_burst_of_events_survives_continuing_as_new(host: RunningHost) -> None:
    instance_id = host.start("collect_events", {"n": 6, "got": []})
    for number in range(6):
        host.raise_event(instance_id, "e", number)
    assert sorted(host.until(instance_id)["output"]) == [0, 1, 2, 3, 4, 5]


def test_events_raised_while_suspended_are_all_delivered(host: RunningHost) -> None:
    instance_id = host.start("collect_events", {"n": 4, "got": []})
    host.until(instance_id, "Running")
    host.ask("POST", f"/instances/{instance_id}/suspend?reason=pause")
    host.until(instance_id, "Suspended")
    for number in range(4):
        host.raise_event(instance_id, "e", number)
    host.ask("POST", f"/instances/{instance_id}/resume")
    assert sorted(host.until(instance_id)["output"]) == [0, 1, 2, 3]


def test_children_report_to_their_parent(host: RunningHost) -> None:
    status = host.run("parent")
    own = status["instanceId"]
    assert status["output"]["named"] == {"v": 36, "id": f"{own}-named", "parent": own}
    assert status["output"]["free"]["v"] == 25
    assert status["output"]["error"].startswith(
        "Orchestrator function 'child' failed: child says no \n Message: child says no, StackTrace: "
    )


def test_ending_a_parent_leaves_its_child_running(host: RunningHost) -> None:
    instance_id = host.start("waiting_parent")
    child = f"{instance_id}-child"
    host.until_true(lambda: host.ask("GET", f"/instances/{child}").status, lambda status: status == 202)
    host.ask("POST", f"/instances/{instance_id}/terminate?reason=enough")
    assert host.until(instance_id)["output"] == "enough"
    assert host.status(child)["runtimeStatus"] == "Running"


@pytest.mark.parametrize("payload", [None, "raise"])
def test_an_open_activity_holds_the_end_back(host: RunningHost, payload: str | None) -> None:
    status = host.until(host.start("leave_activity_open", payload), query="?showHistory=true")
    kinds = [event["EventType"] for event in status["historyEvents"]]
    assert kinds == [
        "ExecutionStarted",
        "TimerCreated",
        "TimerFired",
        "TaskCompleted",
        "ExecutionCompleted",
    ]
    assert "early" in status["output"] or "with an open activity" in status["output"]


def test_an_open_activity_holds_continuing_back(host: RunningHost) -> None:
    status = host.run("continue_with_open_activity")
    assert status["output"] == "second"


@pytest.mark.parametrize(("payload", "last_but_one"), [(None, "TimerFired"), ("cancel", "EventRaised")])
def test_an_uncancelled_timer_holds_the_end_back(
    host: RunningHost, payload: str | None, last_but_one: str
) -> None:
    instance_id = host.start("leave_timer", payload)
    host.raise_event(instance_id, "go", 1)
    history = host.until(instance_id, query="?showHistory=true")["historyEvents"]
    assert [event["EventType"] for event in history if event["EventType"] != "TimerCreated"][
        -2
    ] == last_but_one


def test_a_custom_status_over_16_kb_fails_the_orchestration(host: RunningHost) -> None:
    # 17 KB in UTF-16, with its two quotes, is the first size that counts as more than 16.
    assert host.run("big_status", {"size": 8701})["runtimeStatus"] == "Completed"
    status = host.run("big_status", {"size": 8702})
    assert status["runtimeStatus"] == "Failed"
    assert status["customStatus"] is None
    assert status["output"] == (
        "Orchestrator function 'big_status' failed: The UTF-16 size of the JSON-serialized payload must not "
        "exceed 16 KB. The current payload size is 17 KB."
    )


def test_a_falsy_custom_status_clears_it(host: RunningHost) -> None:
    instance_id = host.start("status_then_none")
    host.until_true(
        lambda: host.status(instance_id)["customStatus"], lambda status: status == {"phase": "one"}
    )
    host.raise_event(instance_id, "go", 1)
    host.until_true(lambda: host.status(instance_id)["customStatus"], lambda status: status is None)


def test_a_custom_status_outlives_suspension_and_termination(host: RunningHost) -> None:
    instance_id = host.start("status_then_none")
    host.until_true(lambda: host.status(instance_id)["customStatus"], bool)
    host.ask("POST", f"/instances/{instance_id}/suspend?reason=pause")
    assert host.until(instance_id, "Suspended")["customStatus"] == {"phase": "one"}
    host.ask("POST", f"/instances/{instance_id}/terminate")
    assert host.until(instance_id)["customStatus"] == {"phase": "one"}


def test_a_misspelt_activity_hangs_the_run(host: RunningHost) -> None:
    instance_id = host.start("unknown_activity")
    history = host.until_true(
        lambda: host.status(instance_id, "?showHistory=true").get("historyEvents", [{}]),
        lambda events: events[-1].get("EventType") == "TaskCompleted",
    )
    assert len(history) == 2
    assert host.status(instance_id)["runtimeStatus"] == "Running"


def test_an_unknown_orchestrator_starts_and_fails(host: RunningHost) -> None:
    status = host.run("nobody")
    assert status["runtimeStatus"] == "Failed"
    assert status["output"].startswith(
        "Orchestrator function 'nobody' failed: The function 'nobody' doesn't exist, is disabled, or is not "
        "an orchestrator function. Additional info: The following are the known orchestrator functions: '"
    )


def test_an_orchestrators_own_error_is_its_output(host: RunningHost) -> None:
    assert host.run("fail_plainly")["output"] == "Orchestrator function 'fail_plainly' failed: 'key'"


def test_yielding_what_is_no_task_fails_outside_the_protocol(host: RunningHost) -> None:
    output = host.run("yield_five")["output"]
    assert output.startswith(
        "Orchestrator function 'yield_five' failed: One or more errors occurred. (Result: Failure\n"
        "Exception: AttributeError: 'int' object has no attribute '_is_scheduled'\nStack:   File "
    )


@pytest.mark.parametrize("kind", ["name", "kind", "nothing"])
def test_changed_code_is_reported_without_a_prefix(host: RunningHost, kind: str) -> None:
    status = host.run("change_mind", kind)
    assert status["runtimeStatus"] == "Failed"
    assert status["output"].startswith("Non-Deterministic workflow detected: A previous execution")


def test_an_entity_call_fails_by_name(host: RunningHost) -> None:
    assert "CALL_ENTITY is not served by the local host" in host.run("call_entity")["output"]
