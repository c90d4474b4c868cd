"""History and the orchestrator's actions in, what the host does next out.

The same job as the real extension's shim over DurableTask.Core: actions are awaited one after
another, ids are handed out in the order tasks are made, retries are expanded, events find their
waiters last-in-first-out, and nothing ends while an activity, a sub-orchestration or an
un-cancelled timer is open.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, ClassVar

from local.host.protocol import texts
from local.host.protocol.history import Event, EventType, parse_time
from local.host.protocol.tasks import Attempt, Call, Group, Kind, Leaf, Node, Parent, Retry, RetryPolicy

Action = Mapping[str, Any]


class ActionType(IntEnum):
    """The SDK's numbers for its actions."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    WHEN_ANY = 11
    WHEN_ALL = 12


class NonDeterministicError(Exception):
    """The orchestrator's code no longer does what its history says it did."""


class NotServedError(Exception):
    """The orchestrator asks for something that this host does not imitate."""


class _UnknownFunctionError(Exception):
    """A call by a name that is not registered: swallowed by the real shim, so nothing happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The lower-cased names that calls may use."""

    activities: frozenset[str]
    orchestrators: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from an episode.

    `schedule` are the new leaves; `over` says that the orchestrator may end now; `continues_with`
    is the next generation's input (JSON text) when it ends by continuing as new, and `carried`
    the events that generation is owed.
    """

    schedule: tuple[Leaf, ...]
    over: bool
    continues: bool
    continues_with: str | None
    carried: tuple[Event, ...]


def replay(history: Sequence[Event], actions: Sequence[Action], registered: Registered) -> Decision:
    """Decide what the host schedules and whether the instance is over.

    Raises NonDeterministicError and NotServedError; both fail the instance.
    """
    run = _Replay(actions, registered)
    for event in history:
        run.apply(event)
    return run.decision()


class _Replay:
    """One pass over a history."""

    def __init__(self, actions: Sequence[Action], registered: Registered) -> None:
        self._actions = actions
        self._registered = registered
        self._cursor = 0
        self._current: Node | None = None
        self._stuck = False
        self._leaves: dict[int, Leaf] = {}
        self._confirmed: set[int] = set()
        self._waiters: defaultdict[str, list[Leaf]] = defaultdict(list)
        self._early: defaultdict[str, int] = defaultdict(int)
        self._now = datetime(1970, 1, 1, tzinfo=UTC)
        self._continue: Action | None = None
        self._carried: list[Event] = []

    def apply(self, event: Event) -> None:
        """Let one event of the history happen."""
        happen = self._HAPPENINGS.get(event["EventType"])
        if happen is not None:
            happen(self, event)

    def decision(self) -> Decision:
        """Sum up what the history led to."""
        fresh = tuple(
            leaf
            for sequence, leaf in self._leaves.items()
            if sequence not in self._confirmed and not leaf.cancelled
        )
        all_awaited = self._all_awaited()
        nothing_open = all(leaf.done for leaf in self._leaves.values())
        return Decision(
            schedule=fresh,
            over=all_awaited and nothing_open,
            continues=self._continue is not None,
            continues_with=self._continue["input"] if self._continue else None,
            carried=tuple(self._carried),
        )

    def _pause(self, pause: timedelta, parent: Parent) -> Leaf:
        leaf = self._new_leaf(Kind.TIMER, parent)
        leaf.fire_at = self._now + pause
        return leaf

    def _all_awaited(self) -> bool:
        waiting = self._current is not None and not self._current.done
        return not self._stuck and not waiting and self._cursor >= len(self._actions)

    def _advance(self) -> None:
        while not self._stuck and (self._current is None or self._current.done):
            if self._cursor >= len(self._actions):
                return
            action = self._actions[self._cursor]
            self._cursor += 1
            try:
                self._current = self._begin(action, None)
            except _UnknownFunctionError:
                # The real shim swallows this and never goes on: the instance stays Running.
                self._stuck = True

    def _begin(self, action: Action, parent: Parent | None) -> Node:
        return self._BEGINNINGS[action["actionType"]](self, action, parent)

    def _begin_call(self, action: Action, parent: Parent | None) -> Leaf:
        return self._caller(action)(parent)

    def _begin_group(self, action: Action, parent: Parent | None) -> Group:
        children = action["compoundActions"]
        waits_for_any = action["actionType"] == ActionType.WHEN_ANY
        group = Group(waits_for_any=waits_for_any, size=len(children), parent=parent)
        for child in children:
            self._begin(child, group)
        return group

    def _begin_retry(self, action: Action, parent: Parent | None) -> Retry:
        options = action["retryOptions"]
        policy = RetryPolicy(
            interval=timedelta(milliseconds=options["firstRetryIntervalInMilliseconds"]),
            max_attempts=options["maxNumberOfAttempts"],
        )
        return Retry(self._caller(action), self._pause, policy, parent)

    def _begin_timer(self, action: Action, parent: Parent | None) -> Leaf:
        leaf = self._new_leaf(Kind.TIMER, parent)
        leaf.fire_at = parse_time(action["fireAt"])
        leaf.cancelled = action["isCanceled"]
        if leaf.cancelled:
            leaf.finish()
        return leaf

    def _begin_wait(self, action: Action, parent: Parent | None) -> Leaf:
        leaf = Leaf(Kind.EVENT, parent=parent)
        key = action["externalEventName"].lower()
        if self._early[key]:
            self._early[key] -= 1
            leaf.finish()
        else:
            self._waiters[key].append(leaf)
        return leaf

    def _begin_continuing(self, action: Action, parent: Parent | None) -> Leaf:
        self._continue = action
        leaf = Leaf(Kind.EVENT, parent=parent)
        leaf.finish()
        return leaf

    def _refuse(self, action: Action, _parent: Parent | None) -> Node:
        raise NotServedError(
            f"{ActionType(action['actionType']).name} is not served by the local host; "
            "use an activity, or run on the real one"
        )

    def _caller(self, action: Action) -> Attempt:
        kind = Kind.CHILD if "instanceId" in action else Kind.ACTIVITY
        names = self._registered.orchestrators if kind is Kind.CHILD else self._registered.activities
        if action["functionName"].lower() not in names:
            raise _UnknownFunctionError(action["functionName"])
        call = Call(
            name=action["functionName"],
            payload=action["input"],
            instance_id=action.get("instanceId"),
            version=action.get("version"),
        )

        def begin(parent: Parent | None) -> Leaf:
            leaf = self._new_leaf(kind, parent)
            leaf.call = call
            return leaf

        return begin

    def _new_leaf(self, kind: Kind, parent: Parent | None) -> Leaf:
        leaf = Leaf(kind, parent=parent, sequence=len(self._leaves))
        self._leaves[len(self._leaves)] = leaf
        return leaf

    def _tell_time(self, event: Event) -> None:
        self._now = max(self._now, parse_time(event["Timestamp"]))

    def _start(self, _event: Event) -> None:
        self._advance()

    def _confirm(self, event: Event) -> None:
        kind = _CONFIRMED_KINDS[event["EventType"]]
        sequence, name = event["EventId"], event.get("Name") or ""
        leaf = self._leaves.get(sequence)
        if leaf is None:
            raise NonDeterministicError(texts.never_scheduled(kind, sequence, _identity(event, kind)))
        if leaf.kind is not kind:
            raise NonDeterministicError(texts.other_kind(kind, sequence, name, _ACTION_NAMES[leaf.kind]))
        if leaf.call is not None and leaf.call.name.lower() != name.lower():
            raise NonDeterministicError(texts.other_name(kind, sequence, name, leaf.call.name))
        self._confirmed.add(sequence)

    def _succeed(self, event: Event) -> None:
        self._complete(event["TaskScheduledId"], failed=False)

    def _fail(self, event: Event) -> None:
        self._complete(event["TaskScheduledId"], failed=True)

    def _fire(self, event: Event) -> None:
        self._complete(event["TimerId"], failed=False)

    def _complete(self, sequence: int, *, failed: bool) -> None:
        leaf = self._leaves.get(sequence)
        if leaf is not None and not leaf.done:
            leaf.finish(failed=failed)
            self._advance()

    def _raise(self, event: Event) -> None:
        if self._continue is not None:
            self._carried.append(event)
            return
        key = event["Name"].lower()
        if not self._waiters[key]:
            self._early[key] += 1
            return
        self._waiters[key].pop().finish()
        self._advance()

    _HAPPENINGS: ClassVar[dict[int, Callable[["_Replay", Event], None]]] = {
        EventType.ORCHESTRATOR_STARTED: _tell_time,
        EventType.EXECUTION_STARTED: _start,
        EventType.TASK_SCHEDULED: _confirm,
        EventType.SUB_ORCHESTRATION_CREATED: _confirm,
        EventType.TIMER_CREATED: _confirm,
        EventType.TASK_COMPLETED: _succeed,
        EventType.SUB_ORCHESTRATION_COMPLETED: _succeed,
        EventType.TASK_FAILED: _fail,
        EventType.SUB_ORCHESTRATION_FAILED: _fail,
        EventType.TIMER_FIRED: _fire,
        EventType.EVENT_RAISED: _raise,
    }
    _BEGINNINGS: ClassVar[dict[int, Callable[["_Replay", Action, Parent | None], Node]]] = {
        ActionType.CALL_ACTIVITY: _begin_call,
        ActionType.CALL_ACTIVITY_WITH_RETRY: _begin_retry,
        ActionType.CALL_SUB_ORCHESTRATOR: _begin_call,
        ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY: _begin_retry,
        ActionType.CONTINUE_AS_NEW: _begin_continuing,
        ActionType.CREATE_TIMER: _begin_timer,
        ActionType.WAIT_FOR_EXTERNAL_EVENT: _begin_wait,
        ActionType.CALL_ENTITY: _refuse,
        ActionType.CALL_HTTP: _refuse,
        ActionType.SIGNAL_ENTITY: _refuse,
        ActionType.WHEN_ANY: _begin_group,
        ActionType.WHEN_ALL: _begin_group,
    }


_CONFIRMED_KINDS: dict[int, Kind] = {
    EventType.TASK_SCHEDULED: Kind.ACTIVITY,
    EventType.SUB_ORCHESTRATION_CREATED: Kind.CHILD,
    EventType.TIMER_CREATED: Kind.TIMER,
}
_ACTION_NAMES = {
    Kind.ACTIVITY: "ScheduleTaskOrchestratorAction",
    Kind.CHILD: "CreateSubOrchestrationAction",
    Kind.TIMER: "CreateTimerOrchestratorAction",
}


def _identity(event: Event, kind: Kind) -> str:
    match kind:
        case Kind.ACTIVITY:
            return f"'{event['Name']}' (version '{event['Version'] or ''}')"
        case Kind.CHILD:
            return (
                f"'{event['Name']}' (version '{event['Version'] or ''}', instance ID '{event['InstanceId']}')"
            )
        case Kind.TIMER | Kind.EVENT:
            return ""
