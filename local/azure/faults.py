"""Faults on demand: rules said through the control listener, drawn from a seed so that a run repeats.

A rule hits the requests of one area (`arm`, `identity`, `blob`) whose method and path it matches, `count`
times or for ever, each time with its probability.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Area(StrEnum):
    """Which listener's requests a rule hits."""

    ARM = "arm"
    IDENTITY = "identity"
    BLOB = "blob"


class Kind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """`seconds` pass, then all is well."""
    STATUS = "status"
    """Refused with `status`, and with Retry-After when `retry_after_seconds` is said."""
    RESET = "reset"
    """The connection breaks before anything is done."""
    LOST_REPLY = "lost_reply"
    """It is done, and the connection breaks instead of the answer."""
    HANG = "hang"
    """Nothing comes for `seconds`, then the connection breaks."""
    TRUNCATE = "truncate"
    """A blob's body breaks off after `after_bytes`."""


class FaultError(Exception):
    """A rule that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault, and whom it hits."""

    area: Area
    kind: Kind
    path: str = ""
    """A part of the path and query; empty matches all."""
    method: str = ""
    probability: float = 1.0
    count: int | None = None
    seconds: float = 0.0
    status: int = 503
    code: str = ""
    """The error code that goes with the status; empty takes the usual one."""
    retry_after_seconds: int | None = None
    after_bytes: int = 0


def parse_rule(raw: dict[str, Any]) -> Rule:
    """Read a rule as the control listener gets it; raises FaultError."""
    try:
        rule = Rule(**{**raw, "area": Area(raw["area"]), "kind": Kind(raw["kind"])})
    except KeyError as missing:
        raise FaultError(f"the rule lacks {missing}") from missing
    except (TypeError, ValueError) as error:
        raise FaultError(f"the rule has an odd field: {error}") from error
    if rule.kind is Kind.TRUNCATE and rule.area is not Area.BLOB:
        raise FaultError("only bodies of blobs can be truncated; use reset or lost_reply")
    return rule


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._dice = random.Random(0)  # noqa: S311 - a repeatable draw is the point
        self._rules: list[Rule] = []
        self._left: dict[int, int] = {}
        self._ending = asyncio.Event()

    def set(self, rules: list[Rule], *, seed: int) -> None:
        """Replace all rules and begin the draw anew."""
        self._dice.seed(seed)
        self._rules = rules
        self._left = {index: rule.count for index, rule in enumerate(rules) if rule.count is not None}

    def draw(self, area: Area, method: str, path: str) -> Rule | None:
        """The first rule that hits this request, if any."""
        for index, rule in enumerate(self._rules):
            if self._hits(index, area, method, path) and self._dice.random() < rule.probability:
                if index in self._left:
                    self._left[index] -= 1
                return rule
        return None

    async def pause(self, rule: Rule) -> None:
        """Let the rule's seconds pass, unless the end comes first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(rule.seconds):
                await self._ending.wait()

    def end(self) -> None:
        """Let nobody hang any longer."""
        self._ending.set()

    def _hits(self, index: int, area: Area, method: str, path: str) -> bool:
        rule = self._rules[index]
        return (
            rule.area is area
            and rule.method in ("", method)
            and rule.path in path
            and self._left.get(index, 1) > 0
        )
