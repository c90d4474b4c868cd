"""Hands on the log: a failed run must be found by whoever watches the app, not only by who started it.

The dashboard needs `Completed` even of a failed warm-up; this event is what the shipped alert fires on.
"""

import logging

from shared.domain.runs import EndedRun

_logger = logging.getLogger("warmup")


def record_ending(ended: EndedRun) -> bool:
    """Log one event; a repeated one says the same again."""
    level = logging.ERROR if ended.status == "failed" else logging.INFO
    _logger.log(
        level,
        "warm-up ended: %s run_id=%s cluster=%s databases=%s bytes_fetched=%d seconds=%.0f %s",
        ended.status,
        ended.run_id,
        ended.cluster,
        ended.databases,
        ended.bytes_fetched,
        ended.seconds,
        ended.error,
    )
    return True
