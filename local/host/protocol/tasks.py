"""The tree of tasks that an orchestrator's actions stand for.

A leaf is one schedulable thing, a group waits for any or all of its children, a retry repeats its
leaf behind timers. Nodes only know when they are done; `replay` decides what that means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a leaf is, in the words of the non-determinism texts."""

    ACTIVITY = "activity"
    CHILD = "sub-orchestration"
    TIMER = "timer"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call to an activity or a sub-orchestration; `payload` is JSON text."""

    name: str
    payload: str | None
    instance_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """A constant interval and a number of attempts: all that the Python SDK can say."""

    interval: timedelta
    max_attempts: int


Attempt = Callable[["Parent | None"], "Leaf"]
Pause = Callable[[timedelta, "Parent"], "Leaf"]


class Node:
    """Something that becomes done once, and tells its parent."""

    def __init__(self, parent: "Parent | None") -> None:
        """Place the node under what awaits it; None is the orchestrator itself."""
        self.done = False
        self.failed = False
        self._parent = parent

    def finish(self, *, failed: bool = False) -> None:
        """Mark done; a second completion changes nothing."""
        if self.done:
            return
        self.done, self.failed = True, failed
        if self._parent is not None:
            self._parent.child_done(self)


class Parent(Protocol):
    """What a finished node reports to."""

    def child_done(self, child: Node) -> None:
        """Take note that a child is done."""


class Leaf(Node):
    """One activity, sub-orchestration, timer or event wait."""

    def __init__(self, kind: Kind, *, parent: Parent | None, sequence: int | None = None) -> None:
        """`sequence` is the id that history knows the leaf by; event waits have none."""
        super().__init__(parent)
        self.kind = kind
        self.sequence = sequence
        self.call: Call | None = None
        self.fire_at: datetime | None = None
        self.cancelled = False


class Group(Node):
    """Waits for all of its children, or for any."""

    def __init__(self, *, waits_for_any: bool, size: int, parent: Parent | None) -> None:
        """An empty group is done at once."""
        super().__init__(parent)
        self._waits_for_any = waits_for_any
        self._open = size
        if size == 0:
            self.finish()

    def child_done(self, _child: Node) -> None:
        """Finish with the first child, or with the last."""
        self._open -= 1
        if self._waits_for_any or self._open == 0:
            self.finish()


class Retry(Node):
    """Repeats a call; the host expands it: failure, timer, next attempt, each with its own id."""

    def __init__(self, attempt: Attempt, pause: Pause, policy: RetryPolicy, parent: Parent | None) -> None:
        """`attempt` and `pause` make the leaves of one attempt and of the wait after it."""
        super().__init__(parent)
        self._attempt = attempt
        self._pause = pause
        self._policy = policy
        self._attempts = 1
        self._timer: Leaf | None = None
        attempt(self)

    def child_done(self, child: Node) -> None:
        """Succeed, wait before the next attempt, start it, or give up."""
        if child is self._timer:
            self._after_waiting()
        elif child.failed:
            # The real extension sets one more timer after the last failure, due at once.
            interval = timedelta() if self._is_last() else self._policy.interval
            self._timer = self._pause(interval, self)
        else:
            self.finish()

    def _after_waiting(self) -> None:
        if self._is_last():
            self.finish(failed=True)
            return
        self._attempts += 1
        self._attempt(self)

    def _is_last(self) -> bool:
        return self._attempts >= self._policy.max_attempts
