"""Take work from the hub, run the app's code on it, and hand the outcome back."""

import asyncio
import json
import logging
import warnings
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.wrappers_pb2 import StringValue

from local.host.config import HostConfig
from local.host.engine.hub import Hub
from local.host.engine.instances import Execution, inner_json
from local.host.indexing import App, Function, Trigger
from local.host.invoking import Invoker, describe_failure
from local.host.protocol import texts
from local.host.protocol.history import Event, translate
from local.host.protocol.replay import Decision, NonDeterministicError, NotServedError, replay
from local.host.protocol.tasks import Kind, Leaf

_STATE_IN_ERROR = "\n\n$OutOfProcData$:"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the SDK made of an episode; `error` is the orchestrator's own exception."""

    actions: list[dict[str, Any]]
    is_done: bool
    output: str | None
    custom_status: str
    error: str | None


class _FailedError(Exception):
    """The instance fails with this output, whatever is open."""


class Worker:
    """Runs orchestrators and activities on the app's loop, as many of each at once as host.json allows.

    On that loop, because every thread between hub and user code costs a tenth of a millisecond each way.
    """

    def __init__(self, app: App, invoker: Invoker, hub: Hub, config: HostConfig) -> None:
        """Make the slots; `start` begins to fill them."""
        self._app = app
        self._invoker = invoker
        self._hub = hub
        self._orchestrators = asyncio.Semaphore(config.max_orchestrators)
        self._activities = asyncio.Semaphore(config.max_activities)
        # The loop itself holds on to no task.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to take work."""
        # The SDK warns of completions after the end, which open tasks make ordinary.
        warnings.filterwarnings("ignore", message=".*[Dd]uplicate Task completion.*")
        self._hub.tell_of_work(lambda: self._invoker.soon(self._take))

    def _take(self) -> None:
        for item in self._hub.work_items():
            if item.HasField("orchestratorRequest"):
                work = _in_slot(self._orchestrators, self._orchestrate(item))
            else:
                work = _in_slot(self._activities, self._act(item))
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _act(self, item: pb.WorkItem) -> None:
        request = item.activityRequest
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId,
            taskId=request.taskId,
            completionToken=item.completionToken,
        )
        payload = request.input.value if request.HasField("input") else None
        try:
            response.result.value = await self._run_activity(request.name, payload)
        except Exception as error:  # noqa: BLE001 - whatever user code raises is the activity's outcome
            _logger.warning("activity %s failed: %s", request.name, error)
            failure = describe_failure(error)
            response.failureDetails.errorType = failure.type_name
            response.failureDetails.errorMessage = texts.activity_failed(request.name, failure)
            response.failureDetails.stackTrace.value = texts.activity_details(failure)
        self._hub.complete_activity(response)

    async def _run_activity(self, name: str, payload: str | None) -> str:
        function = self._app.find(Trigger.ACTIVITY, name)
        if function is None:
            # Only after a restart with a changed app: a new call by this name would not be scheduled.
            raise LookupError(self._app.unknown(Trigger.ACTIVITY, name))
        return _recompact(await self._invoker.run_activity(function, payload))

    async def _orchestrate(self, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        response = pb.OrchestratorResponse(
            instanceId=request.instanceId, completionToken=item.completionToken
        )
        execution = self._hub.execution(request.instanceId, item.completionToken)
        view = self._hub.view(request.instanceId)
        if execution is not None and view is not None:
            # Unless this episode says otherwise: the backend takes silence for an empty status.
            response.customStatus.value = view.custom_status or ""
            if not _is_suspended(request.newEvents, before=view.status == "Suspended"):
                await self._episode(request, response, execution)
        self._hub.complete_orchestration(response)

    async def _episode(
        self, request: pb.OrchestratorRequest, response: pb.OrchestratorResponse, execution: Execution
    ) -> None:
        terminated = next((e for e in request.newEvents if e.HasField("executionTerminated")), None)
        if terminated is not None:
            reason = terminated.executionTerminated.input.value or None
            _finish(response, pb.ORCHESTRATION_STATUS_TERMINATED, reason)
            return
        started = (list(request.pastEvents[:2]) or list(request.newEvents[:2]))[1].executionStarted
        try:
            await self._advance(request, response, execution, started)
        except _FailedError as failed:
            _fail(response, str(failed), str(failed))

    async def _advance(
        self,
        request: pb.OrchestratorRequest,
        response: pb.OrchestratorResponse,
        execution: Execution,
        started: pb.ExecutionStartedEvent,
    ) -> None:
        function = self._app.find(Trigger.ORCHESTRATION, started.name)
        if function is None:
            unknown = self._app.unknown(Trigger.ORCHESTRATION, started.name)
            raise _FailedError(texts.orchestrator_failed(started.name, unknown))
        fresh = _fresh(request, execution)
        answer = await self._ask(function, started, _context(request, execution, started, fresh))
        response.customStatus.value = _checked_status(started.name, answer.custom_status)
        try:
            decision = replay([*execution.replayed, *fresh], answer.actions, self._app.registered)
        except NonDeterministicError as error:
            raise _FailedError(str(error)) from error
        except NotServedError as error:
            raise _FailedError(texts.orchestrator_failed(started.name, str(error))) from error
        response.actions.extend(_action(leaf, execution) for leaf in decision.schedule)
        if decision.over:
            _end(response, started.name, answer, decision)

    async def _ask(self, function: Function, started: pb.ExecutionStartedEvent, context: str) -> _Answer:
        try:
            return _read_answer(await self._invoker.run_orchestrator(function, context))
        except Exception as error:
            before, marker, state = str(error).partition(_STATE_IN_ERROR)
            answer = _read_answer(state) if marker else None
            # A state that says it is done and still failed did so on its way out of the worker.
            if answer is not None and not answer.is_done:
                _logger.warning("orchestrator %s failed: %s", started.name, before)
                return answer
            outside = texts.outside_the_protocol(describe_failure(error))
            raise _FailedError(texts.orchestrator_failed(started.name, outside)) from error


async def _in_slot(slots: asyncio.Semaphore, work: Coroutine[Any, Any, None]) -> None:
    try:
        async with slots:
            await work
    except Exception:
        _logger.exception("a work item failed in the host itself")


def _is_suspended(events: Sequence[pb.HistoryEvent], *, before: bool) -> bool:
    if any(event.HasField("executionTerminated") for event in events):
        return False
    for event in reversed(events):
        if event.HasField("executionSuspended"):
            return True
        if event.HasField("executionResumed"):
            return False
    return before


def _fresh(request: pb.OrchestratorRequest, execution: Execution) -> list[Event]:
    """Complete the cached past, and give what is new in this episode."""
    past = request.pastEvents[execution.replayed_from :]
    execution.remember(translate(past, execution.identity, played=True), len(request.pastEvents))
    return translate(request.newEvents, execution.identity, played=False)


def _context(
    request: pb.OrchestratorRequest,
    execution: Execution,
    started: pb.ExecutionStartedEvent,
    fresh: list[Event],
) -> str:
    parent = execution.identity.parent
    rest = json.dumps(
        {
            "input": json.loads(started.input.value) if started.input.value else None,
            "instanceId": request.instanceId,
            "isReplaying": bool(request.pastEvents),
            "parentInstanceId": parent.instance_id if parent else None,
            "sourceInstanceId": execution.identity.source_instance_id,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            # The two durations that make the SDK split long timers are left out: the hub needs no splitting.
        }
    )
    # A long past is not written anew in every episode.
    history = ", ".join([*execution.replayed_json, inner_json(fresh)])
    return f'{{"history": [{history}], {rest[1:]}'


def _read_answer(text: str) -> _Answer:
    state = json.loads(text)
    status = state.get("customStatus")
    output = state.get("output")
    return _Answer(
        actions=state["actions"][0] if state["actions"] else [],
        is_done=state["isDone"],
        output=None if output is None else texts.compact(output),
        custom_status="" if status is None else texts.compact(status),
        error=state.get("error"),
    )


def _checked_status(name: str, status: str) -> str:
    size_kib = len(status.encode("utf-16-le")) // 1024
    if size_kib > texts.MAX_CUSTOM_STATUS_KIB:
        raise _FailedError(texts.orchestrator_failed(name, texts.custom_status_too_large(size_kib)))
    return status


def _recompact(payload: str) -> str:
    text = texts.compact(json.loads(payload))
    return "" if text == "null" else text


def _end(response: pb.OrchestratorResponse, name: str, answer: _Answer, decision: Decision) -> None:
    if answer.error is not None:
        _fail(response, texts.orchestrator_failed(name, answer.error), answer.error)
    elif decision.continues:
        _finish(response, pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, _as_stored(decision.continues_with))
        carried = response.actions[-1].completeOrchestration.carryoverEvents
        carried.extend(helpers.new_event_raised_event(e["Name"], e["Input"]) for e in decision.carried)
    elif answer.is_done:
        _finish(response, pb.ORCHESTRATION_STATUS_COMPLETED, answer.output)


def _finish(response: pb.OrchestratorResponse, status: pb.OrchestrationStatus, result: str | None) -> None:
    response.actions.append(helpers.new_complete_orchestration_action(-1, status, result, None))


def _fail(response: pb.OrchestratorResponse, output: str, error: str) -> None:
    details = pb.TaskFailureDetails(
        errorType="Exception", errorMessage=output, stackTrace=StringValue(value=texts.child_details(error))
    )
    response.actions.append(
        helpers.new_complete_orchestration_action(-1, pb.ORCHESTRATION_STATUS_FAILED, output, details)
    )


def _action(leaf: Leaf, execution: Execution) -> pb.OrchestratorAction:
    assert leaf.sequence is not None, "only numbered leaves are scheduled"
    if leaf.fire_at is not None:
        return helpers.new_create_timer_action(
            leaf.sequence, leaf.fire_at.astimezone(UTC).replace(tzinfo=None)
        )
    assert leaf.call is not None, "what is no timer is a call"
    if leaf.kind is Kind.ACTIVITY:
        return helpers.new_schedule_task_action(leaf.sequence, leaf.call.name, leaf.call.payload, None)
    child_id = leaf.call.instance_id or f"{execution.identity.execution_id}:{leaf.sequence}"
    return helpers.new_create_sub_orchestration_action(
        leaf.sequence, leaf.call.name, child_id, _as_stored(leaf.call.payload), leaf.call.version
    )


def _as_stored(payload: str | None) -> str | None:
    """Wrap the SDK's JSON text once more, as inputs are stored."""
    return None if payload is None else texts.compact(payload)
