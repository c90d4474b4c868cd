"""Hands on the log: a failed run must be found by whoever watches the app, not only by who started it.

The dashboard needs `Completed` even of a failed warm-up; this event is what the shipped alert fires on. The
same figures go to OpenTelemetry, which drops them unless the worker is told to export.
"""

import logging

from opentelemetry.metrics import get_meter

from shared.domain.events import Change, Event, line_of
from shared.domain.phases import Phase
from shared.domain.runs import EndedRun

_logger = logging.getLogger("warmup")
_meter = get_meter("warmup")
_runs = _meter.create_counter("warmup.runs", unit="{run}", description="runs that ended")
_fetched = _meter.create_counter("warmup.bytes_fetched", unit="By", description="bytes over the wire")
_seconds = _meter.create_histogram("warmup.run.duration", unit="s", description="how long a run took")


def record_ending(ended: EndedRun) -> bool:
    """Log one event and count it; a repeated one says the same again, under the same instance id."""
    level = logging.ERROR if ended.status == "failed" else logging.INFO
    _logger.log(level, line_of(_event(ended)))
    about = {"cluster": ended.cluster, "status": ended.status}
    _runs.add(1, about)
    _fetched.add(ended.bytes_fetched, about)
    _seconds.record(ended.seconds, about)
    return True


def _event(ended: EndedRun) -> Event:
    return Event(
        event=Change.ENDED,
        instance_id=ended.run_id,
        cluster=ended.cluster,
        database=ended.databases,
        phase=(Phase.COMPLETED if ended.status in ("succeeded", "planned") else Phase.FAILED).value,
        status=ended.status,
        bytes=ended.bytes_fetched,
        seconds=round(ended.seconds, 1),
        error=ended.error,
    )
