"""The task hub: durabletask's in-memory backend, corrected where it is wrong.

What is overridden and why is said at each method; tests reproduce each stock defect, so that an
upgrade tells when an override can go. Everything here happens under the backend's one lock.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import (
    ActivityWorkItem,
    InMemoryOrchestrationBackend,
    OrchestrationInstance,
)

from local.host.engine.calling import IN_PROCESS, Bell
from local.host.engine.clock import Alarm, AlarmClock
from local.host.engine.instances import (
    STATUS_CODES,
    Execution,
    InstanceView,
    Snapshot,
    Start,
    answered_task,
    pack,
    show_suspension,
    stamp,
    unpack,
    view_of,
)
from local.host.protocol.history import Identity, ParentLink

# The stock limit of 10,000 stalls an instance silently; the real extension has none.
_MAX_HISTORY_EVENTS = 1_000_000
_EVENTS_THAT_SURVIVE_CONTINUING = frozenset(
    {"eventRaised", "executionTerminated", "executionSuspended", "executionResumed"}
)


class AlreadyExistsError(Exception):
    """A start over an instance that is not over; carries its status."""

    def __init__(self, status: str) -> None:
        """Keep the status for the refusal's text."""
        super().__init__(status)
        self.status = status


class Hub(InMemoryOrchestrationBackend):
    """The task hub that the host's clients and workers share."""

    def __init__(self, clock: AlarmClock) -> None:
        """Start empty; `clock` fires the timers."""
        super().__init__(max_history_size=_MAX_HISTORY_EVENTS)
        self._bell = Bell()
        self._work_available = cast("threading.Event", self._bell)
        self._clock = clock
        self._executions: dict[str, Execution] = {}
        self._touched: set[str] = set()
        self.changed = threading.Event()
        clock.start(self._fire_timer)

    # -- for clients

    def begin(self, start: Start) -> None:
        """Create an instance; one that is over is replaced, one that is not is refused."""
        with self._lock:
            existing = self.view(start.instance_id)
            if existing is not None and not existing.is_over:
                raise AlreadyExistsError(existing.status)
            self._create_instance_internal(start.instance_id, start.name, start.payload, start.version)
            if start.source_instance_id:
                execution = self._executions[start.instance_id]
                execution.identity = replace(execution.identity, source_instance_id=start.source_instance_id)

    def view(self, instance_id: str) -> InstanceView | None:
        """Give an instance as callers see it."""
        with self._lock:
            instance = self._instances.get(instance_id)
            return None if instance is None else view_of(instance)

    def views(self) -> list[InstanceView]:
        """Give all instances, by id."""
        with self._lock:
            return [view_of(self._instances[instance_id]) for instance_id in sorted(self._instances)]

    def history(self, instance_id: str) -> tuple[list[pb.HistoryEvent], Identity]:
        """Give the events of an instance that exists."""
        with self._lock:
            instance = self._instances[instance_id]
            return list(instance.history), self._executions[instance_id].identity

    def raise_event(self, instance_id: str, name: str, payload: str | None) -> None:
        """Queue an external event, also for an instance that is suspended."""
        self._deliver(instance_id, helpers.new_event_raised_event(name, payload))

    def terminate(self, instance_id: str, reason: str | None) -> None:
        """Ask an instance to end; children and activities in flight are not touched."""
        self._deliver(instance_id, helpers.new_terminated_event(encoded_output=reason))

    def suspend(self, instance_id: str, reason: str | None) -> None:
        """Ask an instance to pause."""
        self._deliver(instance_id, helpers.new_suspend_event(encoded_input=reason))

    def resume(self, instance_id: str, reason: str | None) -> None:
        """Ask a suspended instance to go on."""
        self._deliver(instance_id, helpers.new_resume_event(encoded_input=reason))

    def purge(self, instance_id: str) -> None:
        """Forget an instance, whatever its status."""
        with self._lock:
            self._remove(instance_id)

    # -- for workers

    def tell_of_work(self, tell: Callable[[], object]) -> None:
        """Call `tell`, on any thread, whenever there may be work to take; at once, if there is now."""
        with self._lock:
            self._bell.tell = tell
            # What a restored hub queued has rung for nobody.
            self._bell.clear()
            self._bell.set()

    def work_items(self) -> Iterator[pb.WorkItem]:
        """Yield all the work that there is now."""
        self._bell.clear()
        yield from self.GetWorkItems(pb.GetWorkItemsRequest(), self._bell.until_idle())

    def execution(self, instance_id: str, token: str) -> Execution | None:
        """Give the generation that handed out `token`, unless it is gone."""
        execution = self._executions.get(instance_id)
        return execution if execution and int(token) >= execution.first_token else None

    def complete_orchestration(self, response: pb.OrchestratorResponse) -> None:
        """Take the outcome of an episode."""
        instance_id = response.instanceId
        with self._lock:
            instance = self._instances.get(instance_id)
            recorded = len(instance.history) if instance else 0
            self.CompleteOrchestratorTask(response, IN_PROCESS)
            instance = self._instances.get(instance_id)
            if instance is None:
                return
            stamp(instance.history[recorded:])
            show_suspension(instance)
            self._touch(instance_id)
            # Stock does not wake a suspended instance, not even for its own resume.
            if instance.pending_events:
                self._enqueue_orchestration(instance_id)
            if self._is_terminal_status(instance.status):
                self._conclude(instance)

    def complete_activity(self, response: pb.ActivityResponse) -> None:
        """Take an activity's result, unless the generation that asked for it is gone."""
        with self._lock:
            if self.execution(response.instanceId, response.completionToken):
                self.CompleteActivityTask(response, IN_PROCESS)

    # -- overrides of the backend

    def _enqueue_orchestration(self, instance_id: str) -> None:
        """Stamp what is pending and queue it: stock has epoch times and wakes finished instances."""
        instance = self._instances[instance_id]
        self._touch(instance_id)
        if self._is_terminal_status(instance.status):
            instance.pending_events.clear()
            return
        stamp(instance.pending_events)
        # In flight: completing the episode queues it again. Stock would look at it every 0.1 s.
        if instance_id not in self._orchestration_in_flight:
            super()._enqueue_orchestration(instance_id)

    def _create_instance_internal(
        self, instance_id: str, name: str, encoded_input: str | None = None, version: str | None = None
    ) -> None:
        """Replace whatever has the id: stock refuses a child over a running instance."""
        earlier = self._executions.get(instance_id)
        generation = 0 if earlier is None else (earlier.identity.generation or 0) + 1
        self._remove(instance_id)
        identity = Identity(execution_id=str(uuid.uuid4()), generation=generation)
        self._executions[instance_id] = Execution(identity=identity, first_token=self._next_completion_token)
        super()._create_instance_internal(instance_id, name, encoded_input, version=version)

    def _process_create_timer_action(
        self, instance: OrchestrationInstance, action: pb.OrchestratorAction
    ) -> None:
        """Set an alarm: stock starts a sleeping thread per timer."""
        fire_at = action.createTimer.fireAt.ToDatetime(UTC)
        instance.history.append(helpers.new_timer_created_event(action.id, fire_at))
        self._set_alarm(instance.instance_id, action.id, fire_at, datetime.now(UTC))

    def _watch_sub_orchestration(self, parent_instance_id: str, sub_instance_id: str, task_id: int) -> None:
        """Note who waits for the child: stock's watching thread gives up after 30 s."""
        parent = self._instances[parent_instance_id]
        child = self._executions[sub_instance_id]
        link = ParentLink(
            name=parent.name,
            instance_id=parent_instance_id,
            execution_id=self._executions[parent_instance_id].identity.execution_id,
            sequence=task_id,
        )
        child.identity = Identity(execution_id=uuid.uuid4().hex, generation=None, parent=link)

    def _process_complete_orchestration_action(
        self, instance: OrchestrationInstance, complete_action: pb.CompleteOrchestrationAction
    ) -> None:
        """Begin a new execution when continuing: stock lets the old one's completions into it."""
        if complete_action.orchestrationStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW:
            instance.pending_events[:] = [
                event
                for event in instance.pending_events
                if event.WhichOneof("eventType") in _EVENTS_THAT_SURVIVE_CONTINUING
            ]
            earlier = self._executions[instance.instance_id].identity
            identity = replace(earlier, execution_id=uuid.uuid4().hex, generation=None)
            self._executions[instance.instance_id] = Execution(
                identity=identity, first_token=self._next_completion_token
            )
        super()._process_complete_orchestration_action(instance, complete_action)

    # -- for the checkpoint

    def take_changes(self) -> dict[str, Snapshot | None]:
        """Give every instance that changed since the last call; None for one that is gone."""
        with self._lock:
            self.changed.clear()
            touched, self._touched = self._touched, set()
            return {instance_id: self._snapshot(instance_id) for instance_id in touched}

    def put_back(self, changes: Iterable[str]) -> None:
        """Take changes back that could not be written."""
        with self._lock:
            self._touched.update(changes)
            self.changed.set()

    def restore(self, snapshots: Iterable[Snapshot]) -> None:
        """Take up where the snapshots left off: pending work is queued, timers are set."""
        with self._lock:
            for snapshot in snapshots:
                self._restore(snapshot)
            for instance in list(self._instances.values()):
                if not self._is_terminal_status(instance.status):
                    self._take_up(instance)

    # -- private

    def _snapshot(self, instance_id: str) -> Snapshot | None:
        instance = self._instances.get(instance_id)
        if instance is None:
            return None
        return Snapshot(
            view=view_of(instance),
            identity=self._executions[instance_id].identity,
            history=pack(instance.history),
            pending=pack([*instance.dispatched_events, *instance.pending_events]),
            failure=instance.failure_details.SerializeToString() if instance.failure_details else b"",
        )

    def _restore(self, snapshot: Snapshot) -> None:
        view = snapshot.view
        token = self._next_completion_token
        self._next_completion_token += 1
        self._executions[view.instance_id] = Execution(identity=snapshot.identity, first_token=token)
        self._instances[view.instance_id] = OrchestrationInstance(
            instance_id=view.instance_id,
            name=view.name,
            status=STATUS_CODES[view.status],
            version=view.version,
            input=view.input,
            output=view.output,
            custom_status=view.custom_status,
            created_at=view.created_at,
            last_updated_at=view.last_updated_at,
            failure_details=pb.TaskFailureDetails.FromString(snapshot.failure) if snapshot.failure else None,
            history=unpack(snapshot.history),
            pending_events=unpack(snapshot.pending),
            completion_token=token,
        )

    def _take_up(self, instance: OrchestrationInstance) -> None:
        """Queue again what was under way; an activity without a result runs again."""
        events = [*instance.history, *instance.pending_events]
        answered = {number for event in events if (number := answered_task(event)) is not None}
        for event in instance.history:
            if event.eventId in answered:
                continue
            if event.HasField("timerCreated"):
                fire_at = event.timerCreated.fireAt.ToDatetime(UTC)
                self._set_alarm(instance.instance_id, event.eventId, fire_at, event.timestamp.ToDatetime(UTC))
            elif event.HasField("taskScheduled"):
                self._activity_queue.append(
                    ActivityWorkItem(
                        instance_id=instance.instance_id,
                        name=event.taskScheduled.name,
                        task_id=event.eventId,
                        input=event.taskScheduled.input.value or None,
                        completion_token=instance.completion_token,
                    )
                )
        if instance.pending_events:
            self._enqueue_orchestration(instance.instance_id)

    def _deliver(self, instance_id: str, event: pb.HistoryEvent) -> None:
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is None:
                return
            instance.pending_events.append(event)
            instance.last_updated_at = datetime.now(UTC)
            self._enqueue_orchestration(instance_id)

    def _set_alarm(self, instance_id: str, sequence: int, fire_at: datetime, created_at: datetime) -> None:
        execution = self._executions[instance_id]
        self._clock.set(
            Alarm(
                fire_at=fire_at,
                created_at=created_at,
                instance_id=instance_id,
                execution_id=execution.identity.execution_id,
                sequence=sequence,
            )
        )

    def _fire_timer(self, alarm: Alarm) -> None:
        with self._lock:
            execution = self._executions.get(alarm.instance_id)
            if execution is None or execution.identity.execution_id != alarm.execution_id:
                return
            event = helpers.new_timer_fired_event(alarm.sequence, alarm.fire_at)
            # The real extension stamps a fired timer with the moment it was created.
            event.timestamp.FromDatetime(alarm.created_at)
            self._deliver(alarm.instance_id, event)

    def _conclude(self, child: OrchestrationInstance) -> None:
        execution = self._executions[child.instance_id]
        execution.forget_replay()
        link = execution.identity.parent
        parent = self._executions.get(link.instance_id) if link else None
        if link is None or parent is None or parent.identity.execution_id != link.execution_id:
            return
        if child.status == pb.ORCHESTRATION_STATUS_COMPLETED:
            event = helpers.new_sub_orchestration_completed_event(link.sequence, child.output)
        else:
            failed = pb.SubOrchestrationInstanceFailedEvent(
                taskScheduledId=link.sequence, failureDetails=child.failure_details
            )
            failed.failureDetails.errorMessage = child.output or ""
            event = pb.HistoryEvent(eventId=-1, subOrchestrationInstanceFailed=failed)
        self._deliver(link.instance_id, event)

    def _remove(self, instance_id: str) -> None:
        self._instances.pop(instance_id, None)
        self._executions.pop(instance_id, None)
        self._orchestration_queue_set.discard(instance_id)
        self._touch(instance_id)

    def _touch(self, instance_id: str) -> None:
        self._touched.add(instance_id)
        self.changed.set()
