"""Runs that live by the task hub's word alone: one whose messages were lost is "Running" for ever.

A run at work writes its history every few seconds, and whatever it calls comes back within the function's
time-out. One that has been silent for much longer, or was suspended and forgotten, keeps an account open.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrypoints.run_states import RunState

SILENT_AFTER = timedelta(hours=1)  # six times what a call may last
HEARD_OUT = timedelta(minutes=15)  # after hours without a host, runs are back within minutes of it


@dataclass(frozen=True, slots=True)
class Silences:
    """The silent runs that this process knows, and since when it has; another process hears them out anew."""

    noticed: dict[str, datetime] = field(default_factory=dict)

    def is_lost(self, state: RunState, now: datetime) -> bool:
        """Whether a run that is not over will say nothing any more."""
        if not state.live or now - state.updated_at < SILENT_AFTER:
            self.noticed.pop(state.run_id, None)
            return False
        return now - self.noticed.setdefault(state.run_id, now) >= HEARD_OUT
