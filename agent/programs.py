"""Programs of others: asked for their version, run without a terminal, and ended for good."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from .crew import die_with
from .errors import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VERSION_TIMEOUT_SECONDS = 10
# azcopy has been seen to spin for minutes when told to stop: SIGTERM, and soon after SIGKILL.
FAREWELL_SECONDS = 1.0


def version_of(program: str) -> str:
    """What it says of itself."""
    command = [program, "--version"]
    answer = subprocess.run(command, capture_output=True, timeout=VERSION_TIMEOUT_SECONDS, check=False)
    return quoted(answer.stdout.decode("utf-8", "replace"))


@contextmanager
def running(
    command: list[str], output: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program whose words go to a file; it ends with the block, and dies with the agent."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - the agent itself has one thread
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
