"""Faults on demand where the host meets the app's code: slow, failing, hanging, lost and killing invocations.

Served only where the host was started with `--control`, behind the master key where keys are asked for:

    GET /admin/faults   what is in force
    PUT /admin/faults   {"seed": 7, "faults": [{"effect": "kill_after", "function": "copy", "share": 0.2}]};
                        an empty list ends them

`function` is a name, whatever its trigger; without one, every activity is meant. Which invocations are hit
follows from the seed and their order alone, so that a run repeats.
"""

import asyncio
import dataclasses
import os
import random
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

from local.host.indexing import Function, Trigger

EVERY_ACTIVITY = "*"


class Effect(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """`seconds` pass, then all is well."""
    ERROR = "error"
    """It raises, and nothing is done."""
    HANG = "hang"
    """It does not come back before functionTimeout."""
    LOST_REPLY = "lost_reply"
    """It is done, and reported as failed."""
    KILL_BEFORE = "kill_before"
    """The host's process dies before anything is done."""
    KILL_AFTER = "kill_after"
    """The host's process dies when it is done and nobody knows yet."""


class FaultError(Exception):
    """A fault that makes no sense; the message says why."""


class InjectedError(Exception):
    """What an invocation that was hit raises."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What befalls a share of some invocations, `count` times or for ever."""

    effect: Effect
    function: str = EVERY_ACTIVITY
    share: float = 1.0
    count: int | None = None
    seconds: float = 1.0

    def concerns(self, function: Function) -> bool:
        """Whether it may hit an invocation of that function."""
        if self.function == EVERY_ACTIVITY:
            return function.trigger is Trigger.ACTIVITY
        return self.function.lower() == function.name.lower()


class Faults:
    """The faults in force; invocations draw from them one at a time."""

    def __init__(self) -> None:
        """Begin without any."""
        self._drawing = threading.Lock()
        self.put([], seed=0)

    def put(self, faults: Sequence[Fault], *, seed: int) -> None:
        """Replace all faults and begin the draw anew."""
        with self._drawing:
            self._faults, self._seed = list(faults), seed
            self._left = [fault.count for fault in faults]
            self._dice = random.Random(seed)  # noqa: S311 - a repeatable draw is the point

    def as_json(self) -> dict[str, Any]:
        """As the control shows them."""
        return {"seed": self._seed, "faults": [dataclasses.asdict(fault) for fault in self._faults]}

    @asynccontextmanager
    async def around(self, function: Function) -> AsyncIterator[None]:
        """What an invocation goes through before and after the function's own code."""
        fault = self._draw(function)
        match fault.effect if fault else None:
            case Effect.LATENCY if fault:
                await asyncio.sleep(fault.seconds)
            case Effect.HANG:
                await asyncio.Event().wait()
            case Effect.ERROR:
                raise InjectedError("injected: nothing was done")
            case Effect.KILL_BEFORE:
                os.kill(os.getpid(), signal.SIGKILL)
        yield
        match fault.effect if fault else None:
            case Effect.LOST_REPLY:
                raise InjectedError("injected: it was done, and the reply was lost")
            case Effect.KILL_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)

    def _draw(self, function: Function) -> Fault | None:
        with self._drawing:
            for index, fault in enumerate(self._faults):
                left = self._left[index]
                if not fault.concerns(function) or left == 0 or self._dice.random() >= fault.share:
                    continue
                self._left[index] = None if left is None else left - 1
                return fault
        return None


def parse_faults(body: Any) -> tuple[list[Fault], int]:
    """Read what the control gets; raises FaultError."""
    try:
        rules, seed = body.get("faults", []), body.get("seed", 0)
        return [_fault(**rule) for rule in rules], int(seed)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        known = ", ".join(field.name for field in dataclasses.fields(Fault))
        effects = ", ".join(Effect)
        raise FaultError(f"no such fault ({error}): it has {known}, and effects are {effects}") from error


def _fault(effect: str, function: str = EVERY_ACTIVITY, share: float = 1.0, **more: Any) -> Fault:
    count, seconds = more.pop("count", None), more.pop("seconds", 1.0)
    if more:
        raise ValueError(f"nobody knows {', '.join(more)}")
    return Fault(
        effect=Effect(effect),
        function=str(function),
        share=float(share),
        count=None if count is None else int(count),
        seconds=float(seconds),
    )
