"""Memory limits without cgroups: a container's processes are added up, the biggest is killed beyond it.

As with a cgroup, what dies is one process and not the container: a pipeline may go on and exit 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

LOOK_SECONDS = 0.1
"""Between two looks; a process can overshoot by what it allocates meanwhile."""


def children_of(pid: int) -> list[int]:
    """The direct children of a process; none when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants_of(pid: int) -> list[int]:
    """All processes below a process."""
    found = children_of(pid)
    for child in found:
        found.extend(descendants_of(child))
    return found


async def guard(pid: int, limit_bytes: int) -> bool:
    """Kill the biggest process below `pid` once they take more than the limit; True when it had to.

    Runs until then, or until it is cancelled.
    """
    while True:
        sizes = {child: _anonymous_bytes(child) for child in descendants_of(pid)}
        if sum(sizes.values()) > limit_bytes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(max(sizes, key=lambda child: sizes[child]), signal.SIGKILL)
            return True
        await asyncio.sleep(LOOK_SECONDS)


def _anonymous_bytes(pid: int) -> int:
    # Pages of mapped files do not count: a cgroup gives those back before it kills.
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
