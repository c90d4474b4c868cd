"""A crew: processes of several threads each, which take tasks in turn until none is left.

Processes, because TLS, hashing and copying of several Gbit/s need more than one core; threads in each,
because they wait for the wire most of the time. Workers die with the agent, however it dies.
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import AgentError, Internal
from .faults import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.process import BaseProcess

Task = TypeVar("Task")

# 8 processes: at about 30 MB each they stay far below 512 MiB, and 8 cores saturate any NIC met so far.
MOST_PROCESSES = 8
THREADS_PER_PROCESS = 4
WATCH_SECONDS = 0.2
# A graceful end must be over within the 2 s that SIGTERM leaves.
FAREWELL_SECONDS = 1.0
PR_SET_PDEATHSIG = 1
# Microseconds of CPU per period, or "max".
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many work at once."""

    processes: int
    threads: int

    @property
    def workers(self) -> int:
        """Threads over all processes."""
        return self.processes * self.threads


class Stopped(Exception):  # noqa: N818 - nothing went wrong: the crew was told to lay down work
    """The crew is stopping; the task stays unfinished."""


class Shift:
    """What a worker knows about its work: who it is, and whether to go on."""

    def __init__(self, worker: int, stop: mmap.mmap) -> None:
        self.worker = worker
        self._stop = stop

    def check(self) -> None:
        """Raise `Stopped` once the crew is told to stop."""
        if self._stop[0]:
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Sleep, but wake up to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, WATCH_SECONDS))
        self.check()


def cores(quota: Path = CPU_QUOTA) -> int:
    """What this container may use: affinity knows no limit in CPUs, which throttles whoever ignores it."""
    present = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return max(1, min(present, -(-int(limit) // int(period))))
    except (OSError, ValueError):
        return present


def crew_size(most_workers: int) -> Size:
    """As many processes as this container has cores, within limits."""
    processes = min(cores(), MOST_PROCESSES, most_workers)
    return Size(processes=processes, threads=max(1, min(THREADS_PER_PROCESS, most_workers // processes)))


def die_with(agent: int) -> None:
    """End this process when the agent is killed: an orphan would go on writing."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc: Any = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != agent:
        os._exit(1)


class Crew(Generic[Task]):
    """Does `work` on each of `tasks`, each once."""

    def __init__(self, tasks: Sequence[Task], work: Callable[[Task, Shift], None], size: Size) -> None:
        self._tasks = tasks
        self._work = work
        self._size = size
        context = multiprocessing.get_context("fork")
        self._next = context.Value("q", 0)
        self._stop = mmap.mmap(-1, 1)
        # One byte per task, set when it is done; a map of no bytes cannot be made.
        self._done = mmap.mmap(-1, max(1, len(tasks)))
        self._failures = context.SimpleQueue()
        # Daemons, so that even an unforeseen end of the agent takes them along.
        self._processes: list[BaseProcess] = [
            context.Process(target=self._labour, args=(first, os.getpid()), daemon=True)
            for first in range(0, size.workers, size.threads)
        ]

    def run(self, watch: Callable[[], None]) -> None:
        """Start, call `watch` several times a second, return when all is done.

        Raises:
            AgentError: the first one that a worker, or `watch`, raised.
        """
        if not self._tasks:
            return
        for process in self._processes:
            process.start()
        try:
            while any(process.is_alive() for process in self._processes):
                self._raise_failure()
                watch()
                wait([process.sentinel for process in self._processes if process.is_alive()], WATCH_SECONDS)
            self._raise_failure()
        finally:
            self._dismiss()

    def unfinished(self) -> list[int]:
        """Indexes of the tasks that are not done."""
        done = self._done[: len(self._tasks)]
        return [index for index, byte in enumerate(done) if not byte]

    def _raise_failure(self) -> None:
        if not self._failures.empty():
            raise self._failures.get()
        for process in self._processes:
            if process.exitcode:
                raise Internal(
                    f"a worker ended with code {process.exitcode}",
                    remedy="check the container's memory limit: 512 MiB are enough",
                )

    def _dismiss(self) -> None:
        self._stop[0] = 1
        until = time.monotonic() + FAREWELL_SECONDS
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _labour(self, first_worker: int, agent: int) -> None:
        die_with(agent)
        threads = [
            threading.Thread(target=self._serve, args=(Shift(worker, self._stop),))
            for worker in range(first_worker, first_worker + self._size.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _serve(self, shift: Shift) -> None:
        try:
            while (index := self._take()) < len(self._tasks):
                shift.check()
                self._work(self._tasks[index], shift)
                self._done[index] = 1
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 - a thread's end would be silent: it goes to the agent
            self._fail(named(error))

    def _take(self) -> int:
        with self._next.get_lock():
            index: int = self._next.value
            self._next.value = index + 1
        return index

    def _fail(self, error: AgentError) -> None:
        self._stop[0] = 1
        self._failures.put(error)
