"""Bringing a database that was on the disk already into memory, where vmtouch is installed.

After a download its pages are cached as they were written, so this is for looks that fetched nothing: a node
that was restarted, or that has read other things since. It is an extra: it never fails a look.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import quoted
from .programs import ask
from .reporting import log

if TYPE_CHECKING:
    from collections.abc import Sequence

# Half of what memory allows: searches need the rest, and a database that fits just so evicts itself.
SHARE = 0.5
# What a disk of 200 MB/s brings in it fills the default container's limit many times over.
TIMEOUT_SECONDS = 30
MEMORY = Path("/proc/meminfo")
# Pages are charged to the container that reads them first: beyond its limit they only push each other out.
LIMIT = Path("/sys/fs/cgroup/memory.max")
RESIDENT = re.compile(r"Resident Pages:\s*(\d+)/\d+")


def bring_into_memory(files: Sequence[Path], size: int) -> int | None:
    """How many of the `size` bytes of `files` are cached in the end, in whole pages; None: nobody tried."""
    program = shutil.which("vmtouch")
    room = allowed_bytes(MEMORY, LIMIT)
    if program is None:
        return None
    if size > room:
        log(f"not brought into memory: {size} bytes, of which memory allows {room}")
        return None
    began = time.monotonic()
    try:
        before = _resident_bytes(program, files)
        _run(program, "-t", *map(str, files))
        after = _resident_bytes(program, files)
    except (OSError, subprocess.SubprocessError) as error:
        log(f"vmtouch was of no use: {quoted(str(error))}")
        return None
    seconds = time.monotonic() - began
    log(f"vmtouch: {before} of {size} bytes were in memory, {after} are after {seconds:.1f} s")
    return after


def allowed_bytes(memory: Path, limit: Path) -> int:
    """The share of what is available on the node and allowed to the container."""
    found = re.search(r"MemAvailable:\s*(\d+) kB", _read(memory))
    available = int(found[1]) * 1024 if found else 0
    own = _read(limit).strip()
    return int(SHARE * (min(available, int(own)) if own.isdecimal() else available))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _resident_bytes(program: str, files: Sequence[Path]) -> int:
    found = RESIDENT.search(_run(program, *map(str, files)))
    return int(found[1]) * os.sysconf("SC_PAGE_SIZE") if found else 0


def _run(*command: str) -> str:
    answer = ask([*command], TIMEOUT_SECONDS)
    answer.check_returncode()
    return answer.stdout
