"""When a controller tries again what the API refused: at growing distances, as Kubernetes' work queues do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FIRST_SECONDS = 0.1
"""The real queue begins at 5 ms; its first dozen tries would only fill the events."""
FIRST_SECONDS_OF_A_SEAT = 1.0
"""Before a DaemonSet's failed pod on one node is taken away for the second time; the first goes at once."""
LONGEST_SECONDS = 1000.0


@dataclass(slots=True, kw_only=True)
class Retries:
    """What was refused, by uid: how often, and when it is due again."""

    _tries: dict[str, int] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)

    def is_due(self, uid: str) -> bool:
        """Whether it may be tried now."""
        return self._due.get(uid, 0.0) <= time.monotonic()

    def settle(self) -> None:
        """Forget what is due, but not how often it was tried: nobody is to be woken for it again."""
        now = time.monotonic()
        self._due = {uid: due for uid, due in self._due.items() if due > now}

    def refused(self, uid: str, first: float = FIRST_SECONDS) -> None:
        """Wait twice as long as the last time."""
        tries = self._tries[uid] = self._tries.get(uid, 0) + 1
        seconds = min(first * 2.0 ** (tries - 1), LONGEST_SECONDS)
        self._due[uid] = time.monotonic() + seconds

    def succeeded(self, uid: str) -> None:
        """Begin anew at its next refusal."""
        self._tries.pop(uid, None)
        self._due.pop(uid, None)

    def keep(self, uids: set[str]) -> None:
        """Forget what is gone."""
        for uid in self._tries.keys() - uids:
            self.succeeded(uid)

    def seconds(self) -> float | None:
        """Until the next is due; None while nothing waits."""
        waits = [due - time.monotonic() for due in self._due.values()]
        return max(0.0, min(waits)) if waits else None
