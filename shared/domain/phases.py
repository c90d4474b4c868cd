"""The six steps of a warm-up, when each began and ended, and the one phase that follows from them.

The phase is never stored: it is read off the steps and the ending.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Step(StrEnum):
    """The six steps, in the order an operator reads them."""

    ENABLING_STORAGE = "enabling_storage"
    CONFIGURING = "configuring"
    ROLES = "roles"
    WARMING_UP = "warming_up"
    POLLING = "polling"
    DISABLE_STORAGE = "disable_storage"


class Phase(StrEnum):
    """What a dashboard shows in one word; older ones print any other word raw."""

    ENABLING_STORAGE = "enabling_storage"
    CONFIGURING = "configuring"
    WARMING_UP = "warming_up"
    COMPLETED = "completed"
    FAILED = "failed"


MAX_NOTE = 600  # the status has little room, and a run over many databases may leave much behind


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """When a step began and ended; neither, where it was never reached."""

    step: Step
    started_at: datetime | None = None
    completed_at: datetime | None = None
    note: str = ""  # a sentence worth an operator's while, such as why a step had nothing to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """All six steps, from the first moment on."""

    records: tuple[StepRecord, ...] = tuple(StepRecord(step=step) for step in Step)

    def begin(self, step: Step, now: datetime) -> "Journal":
        """Note that a step begins; one that has begun keeps its time."""
        known = self.record(step)
        return self if known.started_at else self._with(replace(known, started_at=now))

    def end(self, step: Step, now: datetime, note: str = "") -> "Journal":
        """Note that a step is done; one that was never reached stays so."""
        known = self.record(step)
        if not known.started_at:
            return self
        return self._with(replace(known, completed_at=now, note=note[:MAX_NOTE]))

    def record(self, step: Step) -> StepRecord:
        """What is known of one step."""
        return next(record for record in self.records if record.step is step)

    def began(self, step: Step) -> bool:
        """Whether a step was reached."""
        return self.record(step).started_at is not None

    def shown(self) -> dict[str, dict[str, object]]:
        """The steps as the dashboard reads them."""
        return {record.step.value: _step_json(record) for record in self.records}

    def _with(self, changed: StepRecord) -> "Journal":
        kept = tuple(changed if record.step is changed.step else record for record in self.records)
        return Journal(records=kept)


def phase_of(journal: Journal, outcome: str | None) -> Phase:
    """The one word: from the ending where there is one, else from the last step reached."""
    if outcome is not None:
        return Phase.COMPLETED if outcome in ("succeeded", "planned") else Phase.FAILED
    if journal.began(Step.POLLING):
        return Phase.WARMING_UP  # never before there are counts to show
    return Phase.CONFIGURING if journal.began(Step.CONFIGURING) else Phase.ENABLING_STORAGE


def _step_json(record: StepRecord) -> dict[str, object]:
    shown: dict[str, object] = {"done": record.completed_at is not None}
    times: Mapping[str, datetime | None] = {
        "started_at": record.started_at,
        "completed_at": record.completed_at,
    }
    shown |= {key: stamp(value) for key, value in times.items() if value is not None}
    if record.note:
        shown["note"] = record.note
    return shown


def stamp(moment: datetime) -> str:
    """A moment as the dashboard's clocks read it: UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
