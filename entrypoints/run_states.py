"""A run as the task hub knows it, free of the SDK."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.judging import Outcome
from shared.domain.model import Mode
from shared.domain.runs import Run

LIVE_STATUSES = ("Running", "Pending", "ContinuedAsNew", "Suspended")  # Durable's enum names


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run as the task hub knows it."""

    run_id: str
    runtime_status: str  # Durable's enum name
    custom_status: object
    output: object
    created_at: datetime
    updated_at: datetime
    run: Run | None = None  # its input, where that was asked for

    @property
    def live(self) -> bool:
        """Whether it may still do something."""
        return self.runtime_status in LIVE_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return isinstance(self.output, Mapping) and self.output.get("status") == Outcome.SUCCEEDED.value

    @property
    def left_warm_pods(self) -> bool:
        """Whether it ended with pods that are to stay: on every node, or on those that are warm."""
        if not isinstance(self.output, Mapping):
            return False
        whole = self.succeeded and not self.output.get("partial")
        stays = whole or bool(self.output.get("nodes_kept"))
        return stays and (self.run is None or self.run.request.mode is not Mode.RELEASE)

    @property
    def ended_from_outside(self) -> bool:
        """Whether it was terminated, or its story crashed: it returned nothing of its own."""
        return not self.live and not isinstance(self.output, Mapping)
