"""When a warm-up is over, and how: the one place that may say `succeeded`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.model import Missing, Mode, OnFailure, WarmupRequest
from shared.domain.progress import Blind, DatabaseProgress, Observation
from shared.domain.refusals import Reason, Refusal

# Timers of a second or less fire at once on the Azure Storage backend, and each look costs the API
# server a list: quick while something is about to change, slow through the long middle.
QUICK_LOOK = timedelta(seconds=2)
SLOW_LOOK = timedelta(seconds=15)
# An API server that is upgraded or restarted is back within minutes; the nodes go on meanwhile.
BLIND_PATIENCE = timedelta(minutes=10)
QUICK_WHILE = timedelta(seconds=30)  # a warm node answers within seconds


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PLANNED = "planned"  # a dry run: nothing was touched


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepWaiting:
    """Nothing is decided yet; look again after a pause."""

    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended; `error` begins with the cause, and is empty after success."""

    outcome: Outcome
    error: str = ""
    partial: bool = False  # succeeded on fewer nodes than targeted, as was asked for
    would_open: tuple[str, ...] = ()  # accounts that a dry run left closed
    missing: Missing | None = None  # what a dry run saw that nodes lack; None: it could not be seen
    nodes_kept: int = 0  # warm nodes whose pods were left though the run did not succeed on every node

    @property
    def is_whole(self) -> bool:
        """Whether every node is warm."""
        return self.outcome is Outcome.SUCCEEDED and not self.partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a verdict needs besides the look itself."""

    deadline: datetime
    allow_partial: bool
    began: datetime
    rolled_out: datetime
    now: datetime


def judge(watch: Watch, seen: Observation | Blind) -> KeepWaiting | Ending:
    """Decide from one look. Success: every targeted node verified every byte, all of one digest."""
    if isinstance(seen, Blind):
        return _judge_blind(watch, seen)
    if seen.stopped is not None:
        return refused(seen.stopped)
    over_time = watch.now >= watch.deadline
    if not seen.settled or seen.total(lambda p: p.nodes_active):
        return _too_late(watch, seen) if over_time else KeepWaiting(pause=_pause(watch, seen))
    return _judge_settled(watch, seen)


def keeps_warm_nodes(request: WarmupRequest, ending: Ending) -> bool:
    """Whether the pods of nodes that are warm stay, where others are not."""
    if request.mode is Mode.RELEASE:
        return False
    return ending.partial or request.on_failure is OnFailure.KEEP


def failed(error: str) -> Ending:
    """An ending that tells its cause first."""
    return Ending(outcome=Outcome.FAILED, error=error)


def refused(refusal: Refusal) -> Ending:
    """What may not go on ends as a failure with cause and remedy; what was asked to end did not fail."""
    if refusal.reason is Reason.CANCELLED:
        return Ending(outcome=Outcome.CANCELLED, error=refusal.message)
    return failed(refusal.sentence)


def _judge_settled(watch: Watch, seen: Observation) -> Ending:
    """Every node is ready or failed."""
    if any(progress.nodes_total == 0 for progress in seen.databases):
        return failed(
            "no node is left to warm: every targeted node is gone; scale the pool up and start again"
        )
    if any(len(progress.digests) > 1 for progress in seen.databases):
        return failed(_first_cause(seen))
    if not seen.total(lambda p: p.nodes_failed):
        return Ending(outcome=Outcome.SUCCEEDED)
    return _some_failed(watch, seen)


def _judge_blind(watch: Watch, blind: Blind) -> KeepWaiting | Ending:
    silent = watch.now - blind.since
    if silent < BLIND_PATIENCE and watch.now < watch.deadline:
        return KeepWaiting(pause=SLOW_LOOK)
    minutes = silent.total_seconds() / 60
    return failed(f"{blind.reason}; nothing was seen of the nodes for {minutes:.0f} minutes")


def _some_failed(watch: Watch, seen: Observation) -> Ending:
    if watch.allow_partial and all(progress.nodes_ready for progress in seen.databases):
        return Ending(outcome=Outcome.SUCCEEDED, partial=True, error=_first_cause(seen))
    return failed(_first_cause(seen))


def _too_late(watch: Watch, seen: Observation) -> Ending:
    minutes = (watch.deadline - watch.began).total_seconds() / 60
    waiting = seen.total(lambda p: p.nodes_active)
    return failed(
        f"{_first_cause(seen)} Gave up after {minutes:.0f} minutes with {waiting} nodes still at work."
    )


def _first_cause(seen: Observation) -> str:
    if not seen.causes:
        return "the nodes did not finish in time; start again: what was fetched is kept."
    return f"{seen.causes[0].sentence}."


def _pause(watch: Watch, seen: Observation) -> timedelta:
    young = watch.now - watch.rolled_out < QUICK_WHILE
    return QUICK_LOOK if young or not seen.settled or _nearly_done(seen.databases) else SLOW_LOOK


def _nearly_done(databases: tuple[DatabaseProgress, ...]) -> bool:
    etas = [progress.eta_seconds for progress in databases if progress.nodes_active]
    return bool(etas) and all(eta is not None and eta <= SLOW_LOOK.total_seconds() for eta in etas)
