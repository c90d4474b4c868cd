"""How long a run may take: at least what was planned, and what the measured rate needs while bytes arrive.

Where nothing arrives nothing is added, so that a run that stands still ends when it was planned to; one that
is slow but gets on is not cut off before its latest deadline. None lasts for ever: an account is open for it,
and another task hub can tell by its age alone that it is no more.
"""

from datetime import datetime, timedelta

from shared.domain.model import WarmupPlan
from shared.domain.progress import Observation

LONGEST_RUN = timedelta(days=2)  # 6.7 TB on a node at the planned rate; what was fetched by then is kept
HEADROOM = 1.5  # neighbours come and go on a disk and on an account
READ_BACK_BYTES_PER_SECOND = 125_000_000  # the slowest disk seen: hashes that NCBI gave are checked there
PUBLISHING = timedelta(minutes=10)  # and whatever else comes after the last byte, a restart of a pod included


def deadline_after(
    plan: WarmupPlan, deadline: datetime, before: Observation | None, seen: Observation
) -> datetime:
    """The deadline once this look is known: never earlier than it was, never beyond the latest."""
    if plan.latest_deadline is None or before is None or not _got_on(before, seen):
        return deadline
    slowest = max((p.eta_seconds for p in seen.databases if p.eta_seconds is not None), default=0)
    reading_back = plan.bytes_per_node / READ_BACK_BYTES_PER_SECOND
    needed = seen.at + timedelta(seconds=slowest * HEADROOM + reading_back) + PUBLISHING
    return max(deadline, min(needed, plan.latest_deadline))


def _got_on(before: Observation, seen: Observation) -> bool:
    """Whether bytes have arrived since: a node that hangs repeats what it said, and says it for ever."""
    return seen.total(lambda p: p.bytes_done) > before.total(lambda p: p.bytes_done)
