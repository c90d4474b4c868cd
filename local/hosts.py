"""Which Functions host runs the app: the embedded one, or Azure Functions Core Tools (`HOST=func`).

`STACK_HOST` chooses (`make … HOST=func` sets it). Core Tools run a copy of what is deployed, in the stack's
folder, and keep their task hub in Azurite's queues and tables.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.places import REPOSITORY
from local.processes import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.places import Places

DEPLOYED = (
    *("function_app.py", "host.json", "requirements.txt"),
    *("activities", "agent", "entrypoints", "orchestrators", "shared"),
)
"""What `.funcignore` leaves."""


class HostError(Exception):
    """The host cannot be started; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Where a host serves, and what it is told."""

    places: Places
    port: int
    rpc_port: int
    settings: Mapping[str, str]
    control: bool  # whether faults may be asked for
    storage: str  # the connection string of the app's own account; a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedHost:
    """`local/host`."""

    needs_queues = False
    start_seconds = 40.0  # cold: four interpreters read their packages from a cold disk

    def prepare(self, post: Post) -> None:
        """It reads the repository itself."""

    def program(self, post: Post) -> Program:
        """How it is started."""
        return Program(
            name="host",
            command=[
                *(sys.executable, "-m", "local.host", str(REPOSITORY)),
                *("--port", str(post.port), "--rpc-port", str(post.rpc_port)),
                *("--state", str(post.places.host_state)),
                *(["--control"] if post.control else []),
                *(["--real-timers"] if os.environ.get("STACK_REAL_TIMERS") else []),
            ],
            environment=post.settings,
        )

    def as_record(self) -> str:
        """As it is written down while it runs."""
        return "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class FuncHost:
    """Azure Functions Core Tools."""

    executable: str

    needs_queues = True
    start_seconds = 300.0  # the first start downloads the extension bundle

    def prepare(self, post: Post) -> None:
        """Copy what is deployed, with settings that only their owner reads."""
        app = post.places.func_app
        shutil.rmtree(app, ignore_errors=True)
        app.mkdir(parents=True, mode=0o700)
        for name in DEPLOYED:
            _copy(REPOSITORY / name, app / name)
        values = {
            **post.settings,
            "AzureWebJobsStorage": post.storage,
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",
        }
        file = app / "local.settings.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"IsEncrypted": False, "Values": values}, indent=1))
        _write_trust(post.places)

    def program(self, post: Post) -> Program:
        """How they are started: with this interpreter first on PATH, as the worker's."""
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # noqa: PTH120 - the link in .venv
        return Program(
            name="host",
            command=[self.executable, "start", "--port", str(post.port)],
            environment={
                "PATH": path,
                "FUNCTIONS_WORKER_RUNTIME": "python",
                "FUNCTIONS_CORE_TOOLS_TELEMETRY_OPTOUT": "1",
                # .NET's and Python's way to be told whom to trust besides the system's authorities.
                "SSL_CERT_FILE": str(post.places.trust),
            },
            folder=post.places.func_app,
        )

    def as_record(self) -> str:
        """As it is written down while it runs."""
        return "func"


Host = EmbeddedHost | FuncHost


def chosen(name: str) -> Host:
    """The host that the setting asks for; raises HostError."""
    match name or "embedded":
        case "embedded":
            return EmbeddedHost()
        case "func":
            executable = shutil.which("func")
            if executable is None:
                raise HostError(
                    "HOST=func needs Azure Functions Core Tools 4, and there is no func on PATH: "
                    "npm install -g azure-functions-core-tools@4"
                )
            return FuncHost(executable=executable)
        case other:
            raise HostError(f"HOST is {other!r}; there are embedded, the default, and func")


def from_record(record: str) -> Host:
    """What `as_record` wrote."""
    return FuncHost(executable="func") if record == "func" else EmbeddedHost()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copy2(source, target)


def _write_trust(places: Places) -> None:
    known = ssl.get_default_verify_paths().cafile
    system = Path(known).read_text() if known else ""
    places.trust.write_text(system + (places.tls / "ca.pem").read_text())
