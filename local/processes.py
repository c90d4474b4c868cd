"""Processes of the stack: started apart from the terminal, known by pid and start time, ended by pid only.

A pid alone may be somebody else's by tomorrow; with its start time it is ours or nobody's.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.places import REPOSITORY

END_SECONDS = 10.0  # a server gets this long to end by itself
_POLL_SECONDS = 0.05
# Kept, so that a child which outlives this process on purpose is not taken for a forgotten one.
_CHILDREN: dict[int, "subprocess.Popen[bytes]"] = {}
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_START_TIME_FIELD = 19  # of /proc/PID/stat, counted behind the command's closing parenthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path = REPOSITORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What was started."""

    name: str
    pid: int
    start_time: int  # clock ticks since boot

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return _start_time(self.pid) == self.start_time


def start(program: Program, *, log: Path) -> Started:
    """Start a program in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(program.command),
            env={**_inherited(), **program.environment},
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[process.pid] = process
    return Started(name=program.name, pid=process.pid, start_time=_start_time(process.pid) or 0)


def end(started: Sequence[Started]) -> None:
    """Ask all to end, wait, and kill what did not."""
    for each in started:
        _signal(each, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while any(each.is_alive for each in started) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for each in started:
        _kill(each)


def _inherited() -> dict[str, str]:
    """What every program needs; nothing else of the caller's shell reaches the app or the nodes."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def _signal(started: Started, number: signal.Signals) -> None:
    if started.is_alive:
        os.kill(started.pid, number)


def _kill(started: Started) -> None:
    """It, and what it left running in the session that was made for it."""
    if started.is_alive:
        os.killpg(started.pid, signal.SIGKILL)


def _start_time(pid: int) -> int | None:
    """When a process began; None when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] != "Z":
        return int(fields[_START_TIME_FIELD])
    if pid in _CHILDREN:
        _CHILDREN[pid].wait()  # else its remains would stay
    return None
