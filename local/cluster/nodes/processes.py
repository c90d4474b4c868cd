"""One attempt of a container as a process: started, watched, stopped, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.nodes import memory
from local.cluster.nodes.logs import pump
from local.cluster.nodes.sandbox import Process, Toolbox, command_line
from local.cluster.nodes.statuses import COMPLETED, ERROR, OOM_KILLED, START_ERROR

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MESSAGE_BYTES = 4096
"""What Kubernetes keeps of a termination message."""

SIGNAL_OFFSET = 128
"""A process killed by signal n is reported as 128 + n."""

START_ERROR_CODE = 128
"""What a container runtime reports for a process that could not be started."""

SANDBOX_PREFIX = "bwrap: "
"""How bubblewrap's own complaints begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended; `message` explains a start that failed."""

    code: int
    reason: str
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was started for."""
        return self.code == 0 and self.reason == COMPLETED


class Running:
    """A process that was started."""

    def __init__(self, child: asyncio.subprocess.Process, log: BinaryIO, limit_bytes: int | None) -> None:
        self._child = child
        self._log = log
        assert child.stdout
        assert child.stderr
        self._pumps = asyncio.gather(pump(child.stdout, "stdout", log), pump(child.stderr, "stderr", log))
        self._guard = asyncio.create_task(memory.guard(child.pid, limit_bytes)) if limit_bytes else None

    async def wait(self) -> Exit:
        """Its end; the log is complete by then."""
        try:
            code = await self._child.wait()
            await self._pumps
        finally:
            self.kill()
            self._log.close()
            out_of_memory = await self._stop_guard()
        code = SIGNAL_OFFSET - code if code < 0 else code
        if out_of_memory:
            return Exit(code=code, reason=OOM_KILLED)
        return Exit(code=code, reason=ERROR if code else COMPLETED)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over."""
        if grace_seconds:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._child.wait()), grace_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL: the first process of a pid namespace takes all others along."""
        self._signal(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    async def _stop_guard(self) -> bool:
        if self._guard is None:
            return False
        self._guard.cancel()
        await asyncio.wait([self._guard])
        return not self._guard.cancelled() and self._guard.result()

    def _signal(self, number: signal.Signals) -> None:
        if self._child.returncode is not None:
            # Its number may be somebody else's by now.
            return
        for pid in memory.children_of(self._child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def start(process: Process, toolbox: Toolbox, log: Path, limit_bytes: int | None) -> Running:
    """Start a process in its sandbox; raises OSError or ValueError when no process can be like that."""
    log.parent.mkdir(parents=True, exist_ok=True)
    child = await asyncio.create_subprocess_exec(
        *command_line(process, toolbox),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    return Running(child, log.open("wb"), limit_bytes)


def start_failure(ended: Exit, log_text: str) -> Exit | None:
    """The ending as a failed start, when the sandbox and not the program complained."""
    complaint = log_text.strip()
    if ended.code != 1 or "\n" in complaint or not complaint.startswith(SANDBOX_PREFIX):
        return None
    message = f"failed to create containerd task: {complaint.removeprefix(SANDBOX_PREFIX)}"
    return Exit(code=START_ERROR_CODE, reason=START_ERROR, message=message)


def termination_message(file: Path) -> str:
    """What the process left in /dev/termination-log."""
    with file.open("rb") as stream:
        return stream.read(MESSAGE_BYTES).decode(errors="replace")
