"""When a container that ended is started again, as recorded from a real kubelet. Pure.

The first restart comes at once, later ones after 10 s, 20 s, 40 s … 300 s. A failed container is shown
`terminated` for one sync of the kubelet, which is as long as the first back-off, and `CrashLoopBackOff` only
for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 30
"""In first back-offs: 10 s grow to 300 s."""

SHORTEST = 1.5
"""In first back-offs: recorded, the back-off of 10 s ends with the second sync, after 15 s."""

STABLE = 60
"""In first back-offs: a container that ran for 10 min before it ended begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What happens between an ending and the next start."""

    told_seconds: float
    """What the CrashLoopBackOff message says."""
    terminated_seconds: float
    waiting_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The pace of restarts."""

    first_seconds: float

    def failures_after(self, failures: int, ran_seconds: float) -> int:
        """How many endings in a row there are, after one more."""
        return 1 if ran_seconds >= STABLE * self.first_seconds else failures + 1

    def pause(self, failures: int) -> Pause | None:
        """After that many endings in a row; None: start again at once.

        >>> Backoff(first_seconds=10).pause(3)
        Pause(told_seconds=20.0, terminated_seconds=10, waiting_seconds=10.0)
        """
        if failures <= 1:
            return None
        told = self.growing(failures - 2)
        whole = max(told, SHORTEST * self.first_seconds)
        return Pause(
            told_seconds=told,
            terminated_seconds=self.first_seconds,
            waiting_seconds=whole - self.first_seconds,
        )

    def growing(self, tries: int) -> float:
        """The first back-off, doubled with every try, up to the longest."""
        return self.first_seconds * min(float(2**tries), LONGEST)


def duration(seconds: float) -> str:
    """As Go writes it.

    >>> duration(10), duration(80), duration(300)
    ('10s', '1m20s', '5m0s')
    """
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
