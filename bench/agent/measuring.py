"""Programs at once, and what they took: time, bytes written, memory, room on the disk."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.crew import die_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Each sample takes some milliseconds of the cores that are measured.
SAMPLE_SECONDS = 0.25
# The unit of both a file's blocks and a process's output, whatever the disk's own is.
SECTOR_BYTES = 512
# More than three nodes of 2 GB leave in the cache.
TOUCHED_BYTES = 8 * 1024**3


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
    server_cpu_seconds: float
    """What serving them took, of the same cores."""
    written_bytes: int
    peak_space_bytes: int
    peak_memory_bytes: int


def measured(programs: Sequence[Program], server: int | None = None) -> Usage:
    """Run all at once on empty folders, to the end and onto the disk; `server` is whose time counts beside.

    Bytes written are the kernel's own count for a process and the children that it waited for.
    """
    for program in programs:
        shutil.rmtree(program.folder, ignore_errors=True)
        program.folder.mkdir(parents=True)
    os.sync()
    _touch_memory()
    served, began = _cpu_seconds_of(server), time.monotonic()
    running = {_start(program): program for program in programs}
    try:
        taken = _watched(running)
    finally:
        for group in running:
            os.killpg(group, signal.SIGKILL)
    os.sync()
    return replace(
        taken, seconds=time.monotonic() - began, server_cpu_seconds=_cpu_seconds_of(server) - served
    )


def _touch_memory() -> None:
    """Have memory behind what will be cached.

    A virtual machine may get it from its host at the first touch only, and give it back once it is free:
    whoever comes first would pay for that, up to ten times what the writing itself takes.
    """
    mmap.mmap(-1, TOUCHED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def _watched(running: dict[int, Program]) -> Usage:
    """Follow all to their ends; whoever ends is taken out of `running`."""
    folders = [program.folder for program in running.values()]
    cpu, written, space, memory = 0.0, 0, 0, 0
    while running:
        time.sleep(SAMPLE_SECONDS)
        space = max(space, sum(_space_of(folder) for folder in folders))
        memory = max([memory, *(_memory_of_group(group) for group in running)])
        for pid in list(running):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                program = running.pop(pid)
                if status:
                    raise subprocess.CalledProcessError(status, program.command)
                cpu += usage.ru_utime + usage.ru_stime
                written += usage.ru_oublock * SECTOR_BYTES
    return Usage(
        seconds=0,
        cpu_seconds=cpu,
        server_cpu_seconds=0,
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
        # azcopy spins for ever when nobody is left who would stop it.
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - no thread of ours holds a lock
    )
    # `wait4` collects it, since only that tells what it used.
    process.returncode = 0
    return process.pid


def _cpu_seconds_of(pid: int | None) -> float:
    """Of a process that runs, and of the children that it has now."""
    if pid is None:
        return 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ticks = 0
    for process in (str(pid), *children):
        # After the name, which may hold blanks: user and system time are the fields 14 and 15 of the line.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
