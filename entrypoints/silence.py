"""Runs that live by the task hub's word alone: one whose messages were lost is "Running" for ever.

A run at work writes its history every few seconds, and whatever it calls comes back within the function's
time-out. One that has been silent for much longer, or was suspended and forgotten, keeps an account open.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrypoints.run_states import RunState

SILENT_AFTER = timedelta(hours=1)  # six times what a call may last
HEARD_OUT = timedelta(minutes=15)  # after hours without a host, runs are back within minutes of it
UNWATCHED = timedelta(minutes=3)  # longer than that between two looks, and nobody knows what was said


def is_silent(state: RunState, now: datetime) -> bool:
    """Whether a run that is not over has said nothing for too long."""
    return state.live and now - state.updated_at >= SILENT_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """One run's, as far as this process has watched it."""

    said_at: datetime  # its last word
    since: datetime
    seen_at: datetime

    def goes_on(self, state: RunState, now: datetime) -> bool:
        """Whether it has been watched from then until now."""
        return self.said_at == state.updated_at and now - self.seen_at <= UNWATCHED


@dataclass(frozen=True, slots=True)
class Silences:
    """The silent runs that this process watches; what it did not watch without a gap is heard out anew."""

    watched: dict[str, Silence] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)  # runs to be ended, and why

    def is_lost(self, state: RunState, now: datetime) -> bool:
        """Whether it will say nothing any more."""
        before = self.watched.pop(state.run_id, None)
        if not is_silent(state, now):
            return False
        since = before.since if before and before.goes_on(state, now) else now
        self.watched[state.run_id] = Silence(said_at=state.updated_at, since=since, seen_at=now)
        return now - since >= HEARD_OUT
