"""Histories of runs, as the extension hands them to the SDK: recorded over a told world, and asked again.

The story runs as registered, on the real SDK; what its actions lead to is decided by the laptop host's
bridge, which is held to recordings of the real extension elsewhere.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from testkit.hosting import REPOSITORY
from testkit.telling import ACTIVITY, RUN_ID
from testkit.world import World

from activities.hands import hands
from local.host.protocol.history import Event, EventType, Identity, translate
from local.host.protocol.replay import Decision, Registered, replay
from local.host.protocol.tasks import Leaf
from orchestrators.warm_databases import warm_databases
from shared.domain.runs import Run
from shared.wire import encode

History = list[Event]
_IDENTITY = Identity(execution_id="e" * 32, generation=None)
_SCHEDULED = (EventType.TASK_SCHEDULED, EventType.TIMER_CREATED)
_EPISODE_TAKES = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One call of the orchestrator: what it was given, and what the history shows next."""

    given: History
    scheduled: History
    is_last: bool


class RegisteredStory:
    """The story as the worker finds it, and the names it may call."""

    def __init__(self, world: World) -> None:
        app = df.DFApp()
        app.orchestration_trigger(context_name="context")(warm_databases)
        app.register_functions(hands(world, world.clock))
        self._handle: Callable[[str], str] = next(
            function.get_user_function()
            for function in app.get_functions()
            if function.get_function_name() == warm_databases.__name__
        )
        self._names = Registered(activities=frozenset(world.hands), orchestrators=frozenset())

    def decide(self, history: History) -> Decision:
        """Replay a history on the SDK, and say what the extension would do next."""
        answer = json.loads(self._handle(_context(history)))
        assert "error" not in answer, answer["error"]
        assert answer["customStatus"], "what an episode does not say again is cleared"
        return replay(history, answer["actions"][0] if answer["actions"] else [], self._names)


class Recorder:
    """Plays the extension to one run, and keeps every generation's history."""

    def __init__(self, world: World, run: Run) -> None:
        self._world = world
        self._story = RegisteredStory(world)
        self._open: list[Leaf] = []
        self.generations: list[History] = []
        self._begin(json.dumps(json.dumps(encode(run))))

    def record(self) -> list[History]:
        """Run it to its end."""
        while True:
            history = self.generations[-1]
            decision = self._story.decide(history)
            self._open += decision.schedule
            self._write(*(_scheduled(leaf) for leaf in decision.schedule))
            self._write(helpers.new_orchestrator_completed_event())
            if decision.continues:
                self._begin(json.dumps(decision.continues_with))
            elif decision.over:
                return self.generations
            else:
                self._finish(self._open.pop(0))

    def _begin(self, given: str) -> None:
        self.generations.append([])
        started = helpers.new_execution_started_event(
            warm_databases.__name__, RUN_ID, given, version=default_version()
        )
        self._write(helpers.new_orchestrator_started_event(), started)

    def _finish(self, leaf: Leaf) -> None:
        """Do one thing that is open; the orchestrator hears of it in an episode of its own."""
        done = self._fire(leaf) if leaf.fire_at else self._act(leaf)
        self._world.clock.now += _EPISODE_TAKES
        self._write(helpers.new_orchestrator_started_event(), done)

    def _fire(self, leaf: Leaf) -> pb.HistoryEvent:
        assert leaf.fire_at is not None
        assert leaf.sequence is not None
        self._world.clock.now = max(self._world.clock.now, leaf.fire_at)
        return helpers.new_timer_fired_event(leaf.sequence, leaf.fire_at)

    def _act(self, leaf: Leaf) -> pb.HistoryEvent:
        assert leaf.call is not None
        assert leaf.sequence is not None
        self._world.clock.now += ACTIVITY
        try:
            result = self._world.perform(leaf.call.name, json.loads(leaf.call.payload or "null"))
        except Exception as failure:  # noqa: BLE001 - the extension reports whatever an activity raised
            text = f"Activity function '{leaf.call.name}' failed: {type(failure).__name__}: {failure}"
            return helpers.new_task_failed_event(leaf.sequence, Exception(text))
        return helpers.new_task_completed_event(leaf.sequence, json.dumps(result))

    def _write(self, *events: pb.HistoryEvent) -> None:
        now = Timestamp()
        now.FromDatetime(self._world.clock.now)
        for event in events:
            event.timestamp.CopyFrom(now)
        self.generations[-1] += translate(events, _IDENTITY, played=False)


def default_version() -> str:
    """What a run of today is begun with, and its recorded histories are filed under."""
    host: Any = json.loads((REPOSITORY / "host.json").read_text(encoding="utf-8"))
    return str(host["extensions"]["durableTask"]["defaultVersion"])


def episodes(history: History) -> Iterator[Episode]:
    """Every prefix of a history that the orchestrator was called with."""
    begins = 0
    for end, event in enumerate(history):
        if event["EventType"] != EventType.ORCHESTRATOR_COMPLETED:
            continue
        scheduled = [event for event in history[begins:end] if event["EventType"] in _SCHEDULED]
        given = history[: end - len(scheduled)]
        yield Episode(given=given, scheduled=scheduled, is_last=end == len(history) - 1)
        begins = end + 1


def save(path: Path, proves: str, generations: Sequence[History]) -> None:
    """Write a recording: what it proves, then a line for each event."""
    bodies = "\n], [\n".join(",\n".join(map(json.dumps, history)) for history in generations)
    text = f'{{"proves": {json.dumps(proves)},\n"generations": [[\n{bodies}\n]]}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _scheduled(leaf: Leaf) -> pb.HistoryEvent:
    assert leaf.sequence is not None
    if leaf.fire_at is not None:
        return helpers.new_timer_created_event(leaf.sequence, leaf.fire_at)
    assert leaf.call is not None
    return helpers.new_task_scheduled_event(leaf.sequence, leaf.call.name)


def _context(history: History) -> str:
    """What the extension sends: a little more than the history."""
    started = next(event for event in history if event["EventType"] == EventType.EXECUTION_STARTED)
    return json.dumps(
        {
            "history": history,
            "input": json.loads(started["Input"]),
            "instanceId": RUN_ID,
            "isReplaying": len(history) > 2,  # all but a generation's first episode
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,  # V3, as the extension says it
        }
    )
