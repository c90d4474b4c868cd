"""The engine's protobuf history as the classic JSON history that the SDK replays.

Key order, key sets and time formats are those of the real extension's messages.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

Event = dict[str, Any]


class EventType(IntEnum):
    """DurableTask.Core's numbers for the events of a history."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_CREATED = 7
    SUB_ORCHESTRATION_COMPLETED = 8
    SUB_ORCHESTRATION_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_RAISED = 15
    EXECUTION_SUSPENDED = 19
    EXECUTION_RESUMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLink:
    """The parent that waits for a sub-orchestration."""

    name: str
    instance_id: str
    execution_id: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an execution is called, beyond its instance id."""

    execution_id: str
    generation: int | None
    parent: ParentLink | None = None
    source_instance_id: str | None = None


def translate(events: Iterable[pb.HistoryEvent], identity: Identity, *, played: bool) -> list[Event]:
    """Give the classic form of engine events; those it has no word for are left out."""
    translated = (_translate(event, identity, played=played) for event in events)
    return [event for event in translated if event is not None]


def format_time(moment: datetime) -> str:
    """Write a UTC time as .NET does: the fraction without trailing zeros, then Z."""
    text = moment.replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if moment.microsecond else text}Z"


def parse_time(text: str) -> datetime:
    """Read an ISO time; what names no zone is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _translate(event: pb.HistoryEvent, identity: Identity, *, played: bool) -> Event | None:
    kind = event.WhichOneof("eventType")
    if kind not in _TRANSLATORS:
        return None
    number, fields = _TRANSLATORS[kind]
    return {
        "EventType": int(number),
        **fields(event, identity),
        "EventId": event.eventId if number in _NUMBERED else -1,
        "IsPlayed": played and number not in _NEVER_PLAYED,
        "Timestamp": _stamp(event.timestamp),
    }


def _stamp(moment: Timestamp) -> str:
    # In the middle of every replay: `moment.ToDatetime` takes several times as long.
    whole = datetime.fromtimestamp(moment.seconds, UTC)
    return format_time(whole.replace(microsecond=moment.nanos // 1_000))


def _execution_started(event: pb.HistoryEvent, identity: Identity) -> Event:
    started = event.executionStarted
    return {
        "OrchestrationInstance": {
            "InstanceId": started.orchestrationInstance.instanceId,
            "ExecutionId": identity.execution_id,
        },
        "ParentInstance": _parent(identity.parent),
        "Name": started.name,
        "Version": started.version.value or None,
        "Input": started.input.value or None,
        "Tags": _tags(identity),
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": identity.generation,
        "GenerateNewTrace": False,
    }


def _parent(link: ParentLink | None) -> Event | None:
    if link is None:
        return None
    return {
        "Name": link.name,
        "OrchestrationInstance": {"InstanceId": link.instance_id, "ExecutionId": link.execution_id},
        "TaskScheduleId": link.sequence,
        "Version": None,
    }


def _tags(identity: Identity) -> Event | None:
    if identity.source_instance_id is None:
        return None
    return {"MS_DurableFunctions_SourceInstanceId": identity.source_instance_id}


def _task_scheduled(event: pb.HistoryEvent, _: Identity) -> Event:
    return {
        "Name": event.taskScheduled.name,
        "Version": "",
        "Input": None,
        "ParentTraceContext": None,
        "Tags": None,
    }


def _child_created(event: pb.HistoryEvent, _: Identity) -> Event:
    created = event.subOrchestrationInstanceCreated
    return {
        "Name": created.name,
        "Version": created.version.value or None,
        "InstanceId": created.instanceId,
        "Input": None,
        "ClientSpanId": None,
        "Tags": None,
    }


def _completed(field: str) -> Callable[[pb.HistoryEvent, Identity], Event]:
    def fields(event: pb.HistoryEvent, _: Identity) -> Event:
        completed = getattr(event, field)
        return {"TaskScheduledId": completed.taskScheduledId, "Result": completed.result.value or None}

    return fields


def _failed(field: str) -> Callable[[pb.HistoryEvent, Identity], Event]:
    def fields(event: pb.HistoryEvent, _: Identity) -> Event:
        failed = getattr(event, field)
        return {
            "TaskScheduledId": failed.taskScheduledId,
            "Reason": failed.failureDetails.errorMessage,
            "Details": failed.failureDetails.stackTrace.value,
            "FailureDetails": None,
        }

    return fields


def _reason(field: str) -> Callable[[pb.HistoryEvent, Identity], Event]:
    def fields(event: pb.HistoryEvent, _: Identity) -> Event:
        return {"Reason": getattr(event, field).input.value or None}

    return fields


def _timer_created(event: pb.HistoryEvent, _: Identity) -> Event:
    return {"FireAt": _stamp(event.timerCreated.fireAt)}


def _timer_fired(event: pb.HistoryEvent, _: Identity) -> Event:
    fired = event.timerFired
    return {"TimerId": fired.timerId, "FireAt": _stamp(fired.fireAt)}


def _event_raised(event: pb.HistoryEvent, _: Identity) -> Event:
    raised = event.eventRaised
    return {"Name": raised.name, "Input": raised.input.value or None, "ParentTraceContext": None}


def _execution_completed(event: pb.HistoryEvent, _: Identity) -> Event:
    completed = event.executionCompleted
    return {
        "OrchestrationStatus": int(completed.orchestrationStatus),
        "Result": completed.result.value or None,
        "FailureDetails": None,
    }


def _terminated(event: pb.HistoryEvent, _: Identity) -> Event:
    return {"Input": event.executionTerminated.input.value or None}


def _nothing(_event: pb.HistoryEvent, _identity: Identity) -> Event:
    return {}


_TRANSLATORS: dict[str, tuple[EventType, Callable[[pb.HistoryEvent, Identity], Event]]] = {
    "orchestratorStarted": (EventType.ORCHESTRATOR_STARTED, _nothing),
    "orchestratorCompleted": (EventType.ORCHESTRATOR_COMPLETED, _nothing),
    "executionStarted": (EventType.EXECUTION_STARTED, _execution_started),
    "executionCompleted": (EventType.EXECUTION_COMPLETED, _execution_completed),
    "executionTerminated": (EventType.EXECUTION_TERMINATED, _terminated),
    "executionSuspended": (EventType.EXECUTION_SUSPENDED, _reason("executionSuspended")),
    "executionResumed": (EventType.EXECUTION_RESUMED, _reason("executionResumed")),
    "taskScheduled": (EventType.TASK_SCHEDULED, _task_scheduled),
    "taskCompleted": (EventType.TASK_COMPLETED, _completed("taskCompleted")),
    "taskFailed": (EventType.TASK_FAILED, _failed("taskFailed")),
    "subOrchestrationInstanceCreated": (EventType.SUB_ORCHESTRATION_CREATED, _child_created),
    "subOrchestrationInstanceCompleted": (
        EventType.SUB_ORCHESTRATION_COMPLETED,
        _completed("subOrchestrationInstanceCompleted"),
    ),
    "subOrchestrationInstanceFailed": (
        EventType.SUB_ORCHESTRATION_FAILED,
        _failed("subOrchestrationInstanceFailed"),
    ),
    "timerCreated": (EventType.TIMER_CREATED, _timer_created),
    "timerFired": (EventType.TIMER_FIRED, _timer_fired),
    "eventRaised": (EventType.EVENT_RAISED, _event_raised),
}
_NUMBERED = frozenset(
    {EventType.TASK_SCHEDULED, EventType.SUB_ORCHESTRATION_CREATED, EventType.TIMER_CREATED}
)
_NEVER_PLAYED = _NUMBERED | {EventType.ORCHESTRATOR_STARTED, EventType.ORCHESTRATOR_COMPLETED}
