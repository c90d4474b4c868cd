"""One thread for all durable timers, exact or as unpunctual as the real ones.

On Azure Storage a timer is a queue message: its visibility delay is cut to whole seconds, so it
fires up to a second early, and an idle queue is polled ever more rarely, so it fires late.
"""

import heapq
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A durable timer of one execution."""

    fire_at: datetime
    created_at: datetime
    instance_id: str
    execution_id: str
    sequence: int


Punctuality = Callable[[Alarm], datetime]


def exact(alarm: Alarm) -> datetime:
    """Fire when due."""
    return alarm.fire_at


def like_azure_storage(max_polling_interval: timedelta) -> Punctuality:
    """Fire early by the fraction of a second and late by a polling interval."""
    # Seeded, so that a run repeats.
    dice = random.Random(0)  # noqa: S311 - not for secrets

    def when(alarm: Alarm) -> datetime:
        delay = max(timedelta(), alarm.fire_at - alarm.created_at)
        visible_after = timedelta(seconds=int(delay.total_seconds()))
        # The queue's polling backs off while idle: a longer wait meets a slower poller.
        slowest_poll = min(max_polling_interval, visible_after / 2)
        return alarm.created_at + visible_after + dice.random() * slowest_poll

    return when


class AlarmClock:
    """Rings each alarm when its time has come."""

    def __init__(self, punctuality: Punctuality = exact) -> None:
        """Keep alarms; none rings before `start`."""
        self._punctuality = punctuality
        self._heap: list[tuple[datetime, int, Alarm]] = []
        self._set_so_far = 0
        self._wake = threading.Condition()

    def start(self, ring: Callable[[Alarm], None]) -> None:
        """Call `ring` with every alarm from now on, on the clock's own thread."""
        threading.Thread(target=self._run, args=(ring,), daemon=True, name="durable-timers").start()

    def set(self, alarm: Alarm) -> None:
        """Add an alarm; one that is overdue fires at once."""
        with self._wake:
            # The counter keeps alarms of one moment in the order they were set.
            self._set_so_far += 1
            heapq.heappush(self._heap, (self._punctuality(alarm), self._set_so_far, alarm))
            self._wake.notify()

    def _run(self, ring: Callable[[Alarm], None]) -> None:
        while True:
            ring(self._next())

    def _next(self) -> Alarm:
        with self._wake:
            while (pause := self._pause()) is None or pause > 0:
                self._wake.wait(pause)
            return heapq.heappop(self._heap)[2]

    def _pause(self) -> float | None:
        if not self._heap:
            return None
        seconds = (self._heap[0][0] - datetime.now(UTC)).total_seconds()
        # threading cannot wait longer than this; an hour is as good as any shorter limit.
        return min(seconds, 3600.0)
