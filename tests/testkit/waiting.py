"""Waiting for a condition, within a bound."""

import time
from collections.abc import Callable

RUN_SECONDS = 60.0
POLL_SECONDS = 0.2


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + RUN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(POLL_SECONDS)
