"""Tells a story with canned answers: no engine, no waiting; time moves when a timer is awaited.

It stands where Durable's context stands and offers what the steps use of it, nothing more. Values cross
it as JSON text, as they do in a history.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrators.warm_databases import warm_databases
from shared.domain.runs import Run
from shared.wire import encode

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ACTIVITY_SECONDS = 1  # what every activity takes here
Answer = Callable[[Any], Any] | object


@dataclass
class Task:
    """What a story yields: one activity, several, or a timer."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    until: datetime | None = None
    many: bool = False


@dataclass
class Telling:
    """One story told to its end."""

    output: Any
    statuses: list[dict[str, Any]]
    called: list[str]
    rows_per_history: list[int]
    ended_at: datetime

    @property
    def error(self) -> str:
        """How the failure begins."""
        return str(self.output.get("error", ""))


class Context:
    """The part of DurableOrchestrationContext that the steps use."""

    def __init__(self, given: Any, now: datetime) -> None:
        self.instance_id = "run1"
        self.current_utc_datetime = now
        self.statuses: list[dict[str, Any]] = []
        self.continued_with: Any = None
        self.rows = 3
        self._given = given

    def get_input(self) -> Any:
        return json.loads(json.dumps(self._given))

    def call_activity_with_retry(self, name: str, _retry: object, value: Any) -> Task:
        return Task(calls=[(name, json.loads(json.dumps(value)))])

    def task_all(self, tasks: list[Task]) -> Task:
        return Task(calls=[call for task in tasks for call in task.calls], many=True)

    def create_timer(self, until: datetime) -> Task:
        return Task(until=until)

    def set_custom_status(self, status: dict[str, Any]) -> None:
        self.statuses.append(json.loads(json.dumps(status)))

    def continue_as_new(self, given: Any) -> None:
        self.continued_with = given


def tell(run: Run, answers: Mapping[str, Answer], *, fail_after_activities: int = 10_000) -> Telling:
    """Tell the story; an answer is a value, a function of the input, or an exception to raise."""
    told = _Told(answers=answers, left=fail_after_activities)
    given, now = encode(run), NOON
    while True:
        context = Context(given, now)
        output = told.history(context)
        now = context.current_utc_datetime
        if context.continued_with is None:
            return Telling(
                output=output,
                statuses=told.statuses,
                called=told.called,
                rows_per_history=told.rows,
                ended_at=now,
            )
        given = context.continued_with


@dataclass
class _Told:
    answers: Mapping[str, Answer]
    left: int
    called: list[str] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def history(self, context: Context) -> Any:
        story = warm_databases(context)
        send: Callable[[], Task] = lambda: next(story)  # noqa: E731
        try:
            while True:
                send = self._perform(context, send(), story)
        except StopIteration as end:
            self.statuses += context.statuses
            self.rows.append(context.rows)
            return end.value

    def _perform(self, context: Context, task: Task, story: Any) -> Callable[[], Task]:
        context.rows += 4 * max(1, len(task.calls))
        if task.until is not None:
            context.current_utc_datetime = max(task.until, context.current_utc_datetime)
            return lambda: story.send(None)
        context.current_utc_datetime += timedelta(seconds=ACTIVITY_SECONDS)
        try:
            results = [self._answer(name, value) for name, value in task.calls]
        except Exception as failure:  # noqa: BLE001 - thrown into the story, as the SDK does
            thrown = failure
            return lambda: story.throw(thrown)
        return lambda: story.send(results if task.many else results[0])

    def _answer(self, name: str, value: Any) -> Any:
        self.called.append(name)
        answer = self.answers[name]
        result = answer(value) if callable(answer) else answer
        if isinstance(result, Exception):
            text = f"Activity function '{name}' failed: {type(result).__name__}: {result}"
            raise Exception(f"{text} \n {{}}")  # noqa: TRY002, TRY004 - the SDK raises bare exceptions
        return json.loads(json.dumps(encode(result)))
