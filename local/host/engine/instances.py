"""What the engine keeps of an instance, and plain readings of the backend's records."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import OrchestrationInstance

from local.host.protocol.history import Event, Identity

_COMPLETIONS = frozenset(
    {
        "taskCompleted",
        "taskFailed",
        "subOrchestrationInstanceCompleted",
        "subOrchestrationInstanceFailed",
    }
)

STATUS_NAMES = {
    pb.ORCHESTRATION_STATUS_PENDING: "Pending",
    pb.ORCHESTRATION_STATUS_RUNNING: "Running",
    pb.ORCHESTRATION_STATUS_SUSPENDED: "Suspended",
    pb.ORCHESTRATION_STATUS_COMPLETED: "Completed",
    pb.ORCHESTRATION_STATUS_FAILED: "Failed",
    pb.ORCHESTRATION_STATUS_TERMINATED: "Terminated",
}
STATUS_CODES = {name: code for code, name in STATUS_NAMES.items()}
TERMINAL_STATUSES = frozenset({"Completed", "Failed", "Terminated"})


@dataclass(slots=True, kw_only=True)
class Execution:
    """One generation of an instance, beyond what the backend keeps of it.

    `first_token` is the backend's token counter when it began: work handed out under an older
    token belongs to an earlier generation. `replayed` caches the translated past, and its JSON in pieces.
    """

    identity: Identity
    first_token: int
    replayed: list[Event] = field(default_factory=list)
    replayed_json: list[str] = field(default_factory=list)
    replayed_from: int = 0

    def remember(self, events: Sequence[Event], recorded: int) -> None:
        """Add to the cache what it lacks of a past of so many records."""
        if events:
            self.replayed.extend(events)
            self.replayed_json.append(inner_json(events))
        self.replayed_from = recorded

    def forget_replay(self) -> None:
        """Free the cache of an execution that is over."""
        self.replayed = []
        self.replayed_json = []
        self.replayed_from = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """An instance as callers see it; input, output and custom status are JSON or plain text."""

    instance_id: str
    name: str
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    created_at: datetime
    last_updated_at: datetime
    version: str | None

    @property
    def is_over(self) -> bool:
        """Nothing will happen to it any more."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new instance begins with; `payload` is JSON text."""

    name: str
    instance_id: str
    payload: str | None
    version: str | None = None
    source_instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All of an instance at one moment; history, pending and failure are protobuf bytes."""

    view: InstanceView
    identity: Identity
    history: bytes
    pending: bytes
    failure: bytes


def inner_json(events: Sequence[Event]) -> str:
    """Give events as they stand in a JSON list; never empty."""
    return json.dumps(events)[1:-1]


def stamp(events: list[pb.HistoryEvent]) -> None:
    """Give the events that have no time yet the present one; stock leaves them at the epoch."""
    for event in events:
        if event.timestamp.seconds == 0:
            event.timestamp.GetCurrentTime()


def show_suspension(instance: OrchestrationInstance) -> None:
    """Show the reason of a suspension as output, as the real extension does; stock shows none."""
    if instance.status == pb.ORCHESTRATION_STATUS_SUSPENDED:
        last = next(e for e in reversed(instance.history) if e.HasField("executionSuspended"))
        instance.output = last.executionSuspended.input.value or None
    elif instance.status == pb.ORCHESTRATION_STATUS_RUNNING:
        instance.output = None


def view_of(instance: OrchestrationInstance) -> InstanceView:
    """Read the backend's record; its empty strings stand for nothing."""
    return InstanceView(
        instance_id=instance.instance_id,
        name=instance.name,
        status=STATUS_NAMES[instance.status],
        input=instance.input or None,
        output=instance.output or None,
        custom_status=instance.custom_status or None,
        created_at=instance.created_at,
        last_updated_at=instance.last_updated_at,
        version=instance.version,
    )


def answered_task(event: pb.HistoryEvent) -> int | None:
    """Give the number of the task that an event completes."""
    kind = event.WhichOneof("eventType")
    if kind == "timerFired":
        return int(event.timerFired.timerId)
    if kind in _COMPLETIONS:
        return int(getattr(event, kind).taskScheduledId)
    return None


def pack(events: Iterable[pb.HistoryEvent]) -> bytes:
    """Serialize events for the checkpoint."""
    return bytes(pb.HistoryChunk(events=events).SerializeToString())


def unpack(content: bytes) -> list[pb.HistoryEvent]:
    """Read what `pack` wrote; DecodeError if it is damaged."""
    return list(pb.HistoryChunk.FromString(content).events)
