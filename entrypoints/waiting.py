"""Waiting for what blocks: within a budget, and once for all who ask the same.

A door runs on the worker's one event loop: a port's call goes to a thread, and nobody waits for it
longer than the budget. The thread ends by the time-outs of its own adapter.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from entrypoints.threads import in_thread
from shared.ports import PassingError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Clock = Callable[[], float]
SHARED_SECONDS = 5.0  # a dashboard's cards ask within seconds of each other
LONGEST_BREAK_SECONDS = 60.0  # what stays unreachable is asked once a minute
_ASKED_TIMES = 20
_ASKED_EVERY_SECONDS = 0.25  # with the above 5 s: what takes longer is left to the caller's own retry
MAX_KEPT = 256  # clusters and accounts remembered; an app serves tens


async def within(budget_seconds: float, what: str, call: Callable[[], V]) -> V:
    """Run a blocking call in a thread; raise PassingError when it takes longer than the budget."""
    try:
        return await asyncio.wait_for(in_thread(call), budget_seconds)
    except TimeoutError:
        raise PassingError(f"{what} did not answer within {budget_seconds:g} s") from None


async def eventually(ask: Callable[[], Awaitable[V | None]]) -> V | None:
    """Ask until there is an answer, for as long as somebody may wait for it; None when there was none."""
    for _ in range(_ASKED_TIMES):
        answer = await ask()
        if answer is not None:
            return answer
        await asyncio.sleep(_ASKED_EVERY_SECONDS)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question(Generic[V]):
    """One question, asked or answered."""

    answer: "asyncio.Future[V]"
    asked_at: float  # the answer is as old as this at most


class SharedQuestions(Generic[K, V]):
    """Questions shared by all who ask the same meanwhile, and within a moment after they were asked.

    Only an answer that found something is kept, and by the moment of its question: whoever asks is told
    nothing older. A failure, or that there is nothing, is told to those who waited for it and to nobody else.
    """

    def __init__(self, good_for_seconds: float, clock: Clock = time.monotonic) -> None:
        """Say for how long an answer is as good as a new one."""
        self._good_for_seconds = good_for_seconds
        self._clock = clock
        self._questions: dict[K, _Question[V]] = {}

    async def ask(self, key: K, question: Callable[[], Coroutine[None, None, V]]) -> V:
        """The answer of the question that was asked, or of a new one; raises what that raises."""
        asked = self._questions.get(key)
        if asked is None or self._is_old(asked):
            asked = _Question(answer=asyncio.ensure_future(question()), asked_at=self._clock())
            self._questions.pop(key, None)
            self._questions[key] = asked
            while len(self._questions) > MAX_KEPT:
                del self._questions[next(iter(self._questions))]
        return await asyncio.shield(asked.answer)  # one who leaves does not take the others along

    def _is_old(self, question: _Question[V]) -> bool:
        answer = question.answer
        if not answer.done():
            return False
        found = not answer.cancelled() and answer.exception() is None and answer.result() is not None
        return not found or self._clock() - question.asked_at > self._good_for_seconds


@dataclass(slots=True, kw_only=True)
class _Flight(Generic[V]):
    """One reading, in the air or landed."""

    reading: "asyncio.Future[V]"
    began: float
    landed: float | None = None
    failures: int = 0  # in a row, this one included

    @property
    def failed(self) -> bool:
        return self.reading.cancelled() or self.reading.exception() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long anybody waits for a reading, and how long it is as good as new."""

    seconds: float
    shared_seconds: float = SHARED_SECONDS


class SharedReadings(Generic[K, V]):
    """Readings shared by all who ask within a few seconds; a failure is shared for longer each time."""

    def __init__(self, what: str, budget: Budget, clock: Clock = time.monotonic) -> None:
        """Name what is read, how long anybody waits for it, and how long it is shared."""
        self._what = what
        self._budget = budget
        self._clock = clock
        self._flights: dict[K, _Flight[V]] = {}

    async def get(self, key: K, read: Callable[[], V]) -> V:
        """Return the present reading, or wait for the one that is under way.

        Raises:
            PassingError: when it failed lately, or does not come within the budget.
        """
        flight = self._flights.get(key)
        if flight is None or self._is_over(flight):
            flight = self._take_off(key, read, flight)
        left = max(0.0, self._budget.seconds - (self._clock() - flight.began))
        done, _ = await asyncio.wait({flight.reading}, timeout=None if flight.reading.done() else left)
        if not done:
            raise PassingError(f"{self._what} did not answer within {self._budget.seconds:g} s")
        return flight.reading.result()

    def _take_off(self, key: K, read: Callable[[], V], last: _Flight[V] | None) -> _Flight[V]:
        reading = in_thread(read)
        flight = _Flight(reading=reading, began=self._clock(), failures=last.failures if last else 0)
        reading.add_done_callback(lambda _: self._land(flight))
        self._flights.pop(key, None)
        self._flights[key] = flight
        while len(self._flights) > MAX_KEPT:
            del self._flights[next(iter(self._flights))]
        return flight

    def _land(self, flight: _Flight[V]) -> None:
        flight.landed = self._clock()
        flight.failures = flight.failures + 1 if flight.failed else 0

    def _is_over(self, flight: _Flight[V]) -> bool:
        if flight.landed is None:
            return False
        shared: float = self._budget.shared_seconds * 2 ** max(0, min(flight.failures, 10) - 1)
        age = self._clock() - flight.landed
        return age > min(shared, LONGEST_BREAK_SECONDS)
