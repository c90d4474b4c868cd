"""Programs at once, and what they took: time, bytes written, memory, room on the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMPLE_SECONDS = 0.05
# The unit of both a file's blocks and a process's output, whatever the disk's own is.
SECTOR_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Program:
    """What one node runs."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """Where it runs, and where what it writes is measured."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What all programs together took; memory is that of the largest one with its children."""

    seconds: float
    cpu_seconds: float
    written_bytes: int
    peak_space_bytes: int
    peak_memory_bytes: int


def measured(programs: Sequence[Program]) -> Usage:
    """Run all at once on empty folders, to the end and onto the disk.

    Bytes written are the kernel's own count for a process and the children that it waited for.
    """
    for program in programs:
        shutil.rmtree(program.folder, ignore_errors=True)
        program.folder.mkdir(parents=True)
    os.sync()
    began = time.monotonic()
    running = {_start(program): program for program in programs}
    written = space = memory = 0
    cpu = 0.0
    while running:
        time.sleep(SAMPLE_SECONDS)
        space = max(space, sum(_space_of(program.folder) for program in programs))
        memory = max([memory, *(_memory_of_group(group) for group in running)])
        for pid in list(running):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                if status:
                    raise subprocess.CalledProcessError(status, running[pid].command)
                cpu += usage.ru_utime + usage.ru_stime
                written += usage.ru_oublock * SECTOR_BYTES
                del running[pid]
    os.sync()
    return Usage(
        seconds=time.monotonic() - began,
        cpu_seconds=cpu,
        written_bytes=written,
        peak_space_bytes=space,
        peak_memory_bytes=memory,
    )


def _start(program: Program) -> int:
    process = subprocess.Popen(
        program.command,
        cwd=program.folder,
        env=dict(program.environment),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # `wait4` collects it, since only that tells what it used.
    process.returncode = 0
    return process.pid


def _space_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * SECTOR_BYTES
    return total


def _memory_of_group(group: int) -> int:
    """Resident bytes, shared ones counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text(encoding="ascii").splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
