"""Instances and their histories as the management API shows them; pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.host.engine.instances import STATUS_NAMES, InstanceView
from local.host.protocol.history import Event, EventType

_HIDDEN = {EventType.ORCHESTRATOR_STARTED, EventType.ORCHESTRATOR_COMPLETED}
_NAMES = {
    EventType.EXECUTION_STARTED: "ExecutionStarted",
    EventType.EXECUTION_COMPLETED: "ExecutionCompleted",
    EventType.EXECUTION_TERMINATED: "ExecutionTerminated",
    EventType.TASK_SCHEDULED: "TaskScheduled",
    EventType.TASK_COMPLETED: "TaskCompleted",
    EventType.TASK_FAILED: "TaskFailed",
    EventType.SUB_ORCHESTRATION_CREATED: "SubOrchestrationInstanceCreated",
    EventType.SUB_ORCHESTRATION_COMPLETED: "SubOrchestrationInstanceCompleted",
    EventType.SUB_ORCHESTRATION_FAILED: "SubOrchestrationInstanceFailed",
    EventType.TIMER_CREATED: "TimerCreated",
    EventType.TIMER_FIRED: "TimerFired",
    EventType.EVENT_RAISED: "EventRaised",
    EventType.EXECUTION_SUSPENDED: "ExecutionSuspended",
    EventType.EXECUTION_RESUMED: "ExecutionResumed",
}
_ALWAYS_DROPPED = {"EventId", "IsPlayed", "TimerId", "TaskScheduledId"}
_DROPPED_BY_TYPE = {
    EventType.EXECUTION_STARTED: {"OrchestrationInstance", "ParentInstance", "Name", "Version", "Tags"},
    EventType.TASK_SCHEDULED: {"Version"},
    EventType.SUB_ORCHESTRATION_CREATED: {"Version"},
}
_MERGED = {EventType.TASK_SCHEDULED, EventType.SUB_ORCHESTRATION_CREATED}
_COMPLETING = {
    EventType.TASK_COMPLETED,
    EventType.TASK_FAILED,
    EventType.SUB_ORCHESTRATION_COMPLETED,
    EventType.SUB_ORCHESTRATION_FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a caller asked to see."""

    input: bool = True
    output: bool = False


def status_body(view: InstanceView, *, show_input: bool) -> dict[str, Any]:
    """Give an instance's status, keys in the real order; `version` only when there is one."""
    version = {"version": view.version} if view.version else {}
    return {
        "name": view.name,
        **version,
        "instanceId": view.instance_id,
        "runtimeStatus": view.status,
        "input": as_json(view.input) if show_input else None,
        "customStatus": as_json(view.custom_status),
        "output": as_json(view.output),
        "createdTime": _to_the_second(view.created_at),
        "lastUpdatedTime": _to_the_second(view.last_updated_at),
    }


def history_body(history: Sequence[Event], shown: Shown) -> list[dict[str, Any]]:
    """Give the history as callers see it: what was scheduled is merged into what completed it."""
    scheduled = {event["EventId"]: event for event in history if event["EventId"] >= 0}
    completed = {event["TaskScheduledId"] for event in history if "TaskScheduledId" in event}
    body = []
    for event in history:
        kind = EventType(event["EventType"])
        is_merged = kind in _MERGED and event["EventId"] in completed
        if kind not in _HIDDEN and not is_merged:
            body.append(_shown(event, scheduled, shown))
    return body


def as_json(text: str | None) -> Any:
    """Read JSON; text that is none stays text."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _shown(event: Event, scheduled: Mapping[int, Event], shown: Shown) -> dict[str, Any]:
    kind = EventType(event["EventType"])
    dropped = _ALWAYS_DROPPED | _DROPPED_BY_TYPE.get(kind, set())
    body = {key: value for key, value in event.items() if key not in dropped} | {"EventType": _NAMES[kind]}
    if "Result" in body:
        body["Result"] = as_json(body["Result"])
    if kind is EventType.EXECUTION_STARTED:
        body["FunctionName"] = event["Name"]
    if kind is EventType.EXECUTION_COMPLETED:
        body["OrchestrationStatus"] = STATUS_NAMES[event["OrchestrationStatus"]]
    if kind in _COMPLETING:
        body |= _origin(scheduled[event["TaskScheduledId"]])
    if not shown.input:
        body.pop("Input", None)
    if not shown.output:
        body.pop("Result", None)
    return body


def _origin(scheduled: Event) -> dict[str, Any]:
    instance = {"InstanceId": scheduled["InstanceId"]} if "InstanceId" in scheduled else {}
    return {
        "ScheduledTime": scheduled["Timestamp"].removesuffix("Z") + "+00:00",
        "FunctionName": scheduled["Name"],
        **instance,
        "Input": None,
    }


def _to_the_second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
