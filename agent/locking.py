"""One writer at a time: a lock that a dead process cannot keep."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A replaced pod's agent gets SIGTERM and is gone within 2 s; the rest is for a slow node.
PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.1


@contextmanager
def locked(path: Path, what: str, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path` for `what`; whoever names what to do meanwhile waits without end.

    The kernel drops it when the holder and all its workers are gone, so a killed agent leaves none behind.

    Raises:
        Busy: another process still holds it after some seconds.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (descriptor := _take(path)) is None:
        if meanwhile is not None:
            meanwhile()
        elif time.monotonic() > deadline:
            raise Busy(f"another agent works on {what} on this node")
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: Path) -> int | None:
    """The open file that holds the lock; None while somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None  # a release removed the folder just now
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A release removes the file: then this lock is nobody's, and the next try makes a new one.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None
