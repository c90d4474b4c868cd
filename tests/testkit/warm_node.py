"""A node's folder and the agent as a process on it: run, killed, and asked what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.blob_server import IDENTITY_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.blob_server import BlobServer

# Another one, as the image's 3.10, runs the agent where that is set.
AGENT_PYTHON = os.environ.get("AGENT_PYTHON", sys.executable)
REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
POLL_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a look ended and what it reported on the way."""

    exit_code: int
    output: str

    @property
    def reports(self) -> list[dict[str, Any]]:
        """All reports, in order."""
        lines = [line for line in self.output.splitlines() if line.startswith('{"report"')]
        return [json.loads(line)["report"] for line in lines]

    @property
    def last(self) -> dict[str, Any]:
        """The last word."""
        return self.reports[-1]

    @property
    def error(self) -> dict[str, str]:
        """The cause of a failure."""
        error: dict[str, str] = self.last["error"]
        return error


@dataclass(kw_only=True)
class WarmNode:
    """One node: a folder that plays `/workspace/blast`, and what its pods get as environment."""

    folder: Path
    server: BlobServer
    environment: dict[str, str] = field(default_factory=dict)
    runner: tuple[str, ...] = ()
    """What starts the agent, where it is not started as it is."""

    @property
    def blast(self) -> Path:
        """Where BLAST reads."""
        return self.folder / "blast"

    @property
    def termination_log(self) -> Path:
        """What Kubernetes would pick up."""
        return self.folder / "termination-log"

    def private(self, database: str) -> Path:
        """The agent's own corner."""
        return self.blast / ".warmup" / database

    def look(self, manifest: dict[str, Any], *arguments: str, **environment: str) -> Outcome:
        """Run the agent to its end."""
        process = self.start(manifest, *arguments, **environment)
        try:
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                kill(process)
        return Outcome(exit_code=process.returncode, output=output)

    def start(self, manifest: dict[str, Any], *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the agent, in a process group of its own."""
        self.blast.mkdir(parents=True, exist_ok=True)
        self.termination_log.touch()
        path = self.folder / f"manifest-{manifest['database'].replace('/', '_')}.json"
        path.write_text(json.dumps(manifest))
        return subprocess.Popen(
            [*self.runner, AGENT_PYTHON, "-B", "-m", "agent", *arguments],
            cwd=REPOSITORY,
            env={**self._environment(path), **self.environment, **environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def files(self) -> dict[str, bytes]:
        """What BLAST sees."""
        return {entry.name: entry.read_bytes() for entry in self.blast.iterdir() if entry.is_file()}

    def _environment(self, manifest: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "WARMUP_RUN_ID": "run-1",
            "WARMUP_NODE": "node-0",
            "WARMUP_MANIFEST": str(manifest),
            "WARMUP_DIRECTORY": str(self.blast),
            "WARMUP_BLOB_ENDPOINT": self.server.endpoint,
            "WARMUP_TERMINATION_LOG": str(self.termination_log),
            "IDENTITY_ENDPOINT": self.server.identity_endpoint,
            "IDENTITY_HEADER": IDENTITY_HEADER,
        }


def kill(process: subprocess.Popen[str]) -> None:
    """What a kernel does that is out of memory; only to the agent itself, not to its workers."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)
