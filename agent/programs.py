"""Programs of others: asked for their version, run without a terminal, and ended for good."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .crew import die_with
from .errors import Internal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION_TIMEOUT_SECONDS = 10
# What any program needs; the agent's own environment may hold more than is theirs to know.
PLAIN = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
# What gets a program a token of its own, and has it trust the account.
FOR_IDENTITY = (
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"),
    *("AZURE_FEDERATED_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY"),
)
# "azcopy version 10.32.4", and not whatever else a program may print.
VERSION_CHARACTERS = 40
# azcopy has been seen to spin for minutes when told to stop: SIGTERM, and soon after SIGKILL.
FAREWELL_SECONDS = 1.0


def environment_of(*names: str) -> dict[str, str]:
    """What is needed of the agent's own environment, and `names` besides."""
    return {name: os.environ[name] for name in (*PLAIN, *names) if name in os.environ}


def version_of(program: str) -> str:
    """What it says of itself, in its first words."""
    said = ""
    with suppress(OSError, subprocess.SubprocessError):
        said = ask([program, "--version"], VERSION_TIMEOUT_SECONDS).stdout
    return quoted(said)[:VERSION_CHARACTERS] or f"{Path(program).name} of unknown version"


def find(program: str, oldest: tuple[int, int], remedy: str) -> str:
    """Where it is, if it is here and new enough.

    Raises:
        Internal: it is not.
    """
    path = shutil.which(program)
    if path is None:
        raise Internal(f"{program} is not installed here", remedy)
    said = version_of(path)
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < oldest:
        raise Internal(f"{said} is too old: {'.'.join(map(str, oldest))} is the least", remedy)
    return path


def ask(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program that answers soon, and hear what it says.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be started, or does not end in time.
    """
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
        text=True,
        errors="replace",
        env=environment_of(),
    )


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
