"""Tells stories without an engine: nothing waits, time moves when a timer is awaited.

It stands where Durable's context stands and offers what the steps use of it, nothing more. Values cross
it as JSON text, as they do in a history. A story may be told over canned answers (`tell`), or yield by
yield over hands that really act (`Story`), whose host a test may kill at any yield.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df

from orchestrators.warm_databases import warm_databases
from shared.domain.runs import Run
from shared.wire import encode

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ACTIVITY = timedelta(seconds=1)  # what every activity takes here
RUN_ID = "run1"
_ROWS_EACH = 4  # asked for, answered, and the episode that hears of it
Answer = Callable[[Any], Any] | object
Perform = Callable[[str, Any], Any]  # an activity by name: its input's JSON in, its answer's out


@dataclass
class Clock:
    """The time of a told world."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Task:
    """What a story yields: one activity, several, or a timer."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    until: datetime | None = None
    many: bool = False
    tries: int = 1  # what a host that retries needs of those it may make
    pause: timedelta = timedelta()  # between two of them

    @property
    def rows(self) -> int:
        """What its tries, and the timers between them, write into a history."""
        return _ROWS_EACH * (max(1, len(self.calls)) + 2 * (self.tries - 1))


@dataclass(frozen=True)
class Answered:
    """What came of one yield, and when: a few rows of a history."""

    asked: Task
    at: datetime
    results: list[Any]
    failure: Exception | None = None


@dataclass
class Telling:
    """One story told to its end."""

    output: Any
    statuses: list[dict[str, Any]]
    called: list[str]
    rows_per_history: list[int]

    @property
    def error(self) -> str:
        """How the failure begins."""
        return str(self.output.get("error", ""))


class Context:
    """The part of DurableOrchestrationContext that the steps use."""

    def __init__(self, given: Any, now: datetime, run_id: str, *, every_try: bool) -> None:
        self.instance_id = run_id
        self._every_try = every_try
        self.current_utc_datetime = now
        self.statuses: list[dict[str, Any]] = []
        self.continued_with: Any = None
        self._given = given

    def get_input(self) -> Any:
        return _through_json(self._given)

    def call_activity_with_retry(self, name: str, retry: df.RetryOptions, value: Any) -> Task:
        return Task(
            calls=[(name, _through_json(value))],
            tries=retry.max_number_of_attempts if self._every_try else 1,
            pause=timedelta(milliseconds=retry.first_retry_interval_in_milliseconds),
        )

    def call_activity(self, name: str, value: Any) -> Task:
        return Task(calls=[(name, json.loads(json.dumps(value)))])

    def task_all(self, tasks: list[Task]) -> Task:
        return Task(calls=[call for task in tasks for call in task.calls], many=True)

    def create_timer(self, until: datetime) -> Task:
        return Task(until=until)

    def set_custom_status(self, status: dict[str, Any]) -> None:
        self.statuses.append(_through_json(status))

    def continue_as_new(self, given: Any) -> None:
        self.continued_with = given


class Story:
    """One run, told yield by yield."""

    def __init__(
        self, run: Run, perform: Perform, clock: Clock, run_id: str = RUN_ID, *, every_try: bool = False
    ) -> None:
        self.run_id = run_id
        self._every_try = every_try
        self.given = encode(run)
        self.over = False
        self.terminated = False
        self.output: Any = None
        self.called: list[str] = []
        self.rows_per_history: list[int] = []
        self._perform = perform
        self._clock = clock
        self._told: list[dict[str, Any]] = []
        self._history: list[Answered] = []
        self._begin()

    @property
    def statuses(self) -> list[dict[str, Any]]:
        """Every status shown so far, each once."""
        return self._told + self._context.statuses

    @property
    def heard_at(self) -> datetime:
        """When it last wrote its history."""
        return self._history[-1].at if self._history else self._began

    def step(self) -> None:
        """Perform what the story waits for, write the answer down, and tell on."""
        answered = self._answer()
        self._history.append(answered)
        self._go_on(answered)

    def tell_on(self) -> None:
        """Tell it to its end."""
        while not self.over:
            self.step()

    def act_unheard(self) -> None:
        """What is in flight has its effect, and its answer is lost: the host died, or the run was ended."""
        self._answer()

    def resume(self) -> None:
        """Replay what was recorded, as another host does; what was in flight is asked for again."""
        self._open()
        for answered in self._history:
            assert self._asked == answered.asked, "replayed, the story asks for something else"
            self._go_on(answered)

    def terminate(self) -> None:
        """End it from outside: nothing of the story runs any more, not even what winds it up."""
        self.over = self.terminated = True

    def _begin(self) -> None:
        self._began = self._clock.now
        self._history = []
        self._open()

    def _open(self) -> None:
        self._context = Context(self.given, self._began, self.run_id, every_try=self._every_try)
        self._story: Any = warm_databases(self._context)
        self._asked: Task = next(self._story)

    def _answer(self) -> Answered:
        asked = self._asked
        if asked.until is not None:
            self._clock.now = max(asked.until, self._clock.now)
            return Answered(asked, self._clock.now, [None])
        self._clock.now += ACTIVITY + (asked.tries - 1) * (ACTIVITY + asked.pause)
        try:
            results = [self._call(name, value) for name, value in asked.calls]
        except Exception as failure:  # noqa: BLE001 - thrown into the story, as the SDK does
            return Answered(asked, self._clock.now, [], failure)
        return Answered(asked, self._clock.now, results)

    def _call(self, name: str, value: Any) -> Any:
        self.called.append(name)
        try:
            return _through_json(self._perform(name, value))
        except Exception as cause:
            text = f"Activity function '{name}' failed: {type(cause).__name__}: {cause}"
            raise Exception(f"{text} \n {{}}") from cause  # noqa: TRY002 - the SDK raises bare exceptions

    def _go_on(self, answered: Answered) -> None:
        self._context.current_utc_datetime = answered.at
        results = answered.results
        try:
            if answered.failure is not None:
                self._asked = self._story.throw(answered.failure)
            else:
                self._asked = self._story.send(results if answered.asked.many else results[0])
        except StopIteration as end:
            self._end_of_history(end.value)

    def _end_of_history(self, output: Any) -> None:
        self.rows_per_history.append(3 + sum(answered.asked.rows for answered in self._history))
        if self._context.continued_with is None:
            self.over, self.output = True, output
            return
        self._told = self.statuses
        self.given = _through_json(self._context.continued_with)
        self._begin()


def tell(run: Run, answers: Mapping[str, Answer], *, every_try: bool = False) -> Telling:
    """Tell the story; an answer is a value, a function of the input, or an exception to raise.

    `every_try`: whatever the host may try again needs all its tries, and an answer is the last one's.
    """

    def perform(name: str, value: Any) -> Any:
        answer = answers[name]
        result = answer(value) if callable(answer) else answer
        if isinstance(result, Exception):
            raise result
        return encode(result)

    story = Story(run, perform, Clock(), every_try=every_try)
    story.tell_on()
    return Telling(
        output=story.output,
        statuses=story.statuses,
        called=story.called,
        rows_per_history=story.rows_per_history,
    )


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
