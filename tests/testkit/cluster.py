"""A cluster of its own for a test: the real program in a process, its folder, its address, its clients."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.certificates import ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPOSITORY = Path(__file__).parents[2]

READY = "ready "

QUICK_BACKOFF_SECONDS = 0.2
"""Restarts come as the kubelet's do, fifty times as fast."""

STOP_SECONDS = 10
"""A cluster ends within 3 s; one that does not is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a test wants its cluster."""

    nodes: int = 3
    simulated_nodes: int = 0
    images: Sequence[str] | None = None
    pod_env: dict[str, str] = field(default_factory=dict)
    backoff_seconds: float = QUICK_BACKOFF_SECONDS
    control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that runs."""

    url: str
    root: Path
    process: subprocess.Popen[str]

    @property
    def kubeconfig(self) -> Path:
        """For clients that may do everything."""
        return self.root / "kubeconfig"

    @property
    def reader_kubeconfig(self) -> Path:
        """For clients that may only look."""
        return self.root / "cluster" / "reader.kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate to trust."""
        return self.root / "certificates" / "ca.pem"

    @property
    def control_token(self) -> str:
        """What `/control/` wants to see."""
        return str(self._tokens()["control"])

    @property
    def admin_token(self) -> str:
        """What the API wants to see."""
        return str(self._tokens()["admin"])

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request in plain HTTP, for what no client library sends; `Content_Type=` is a header."""
        known = {"Authorization": f"Bearer {self.admin_token}", "Content-Type": "application/json"}
        sent = known | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPSConnection(
            self.url.removeprefix("https://"), context=ssl.create_default_context(cafile=str(self.authority))
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            warnings = tuple(response.headers.get_all("Warning") or ())
            return Answer(code=response.status, body=json.loads(response.read()), warnings=warnings)
        finally:
            connection.close()

    def control(self, method: str, path: str, body: object = None) -> Answer:
        """One request to the control."""
        return self.ask(method, f"/control/{path}", body, Authorization=f"Bearer {self.control_token}")

    def node_folder(self, node: str) -> Path:
        """The folder that plays a node's root."""
        return self.root / "nodes" / node

    def _tokens(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.root / "cluster" / "tokens.json").read_text())
        return found


@contextmanager
def running_cluster(root: Path, asked: Asked | None = None) -> Iterator[Cluster]:
    """A cluster in `root` for as long as the block lasts; the same root again continues where it stopped."""
    process = start(root, asked or Asked())
    try:
        yield _announced(root, process)
    finally:
        stop(process)


def start(root: Path, asked: Asked) -> subprocess.Popen[str]:
    """Start the program; it prints where it listens."""
    return subprocess.Popen(_command(root, asked), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def stop(process: subprocess.Popen[str]) -> None:
    """End it, politely if it listens."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def _announced(root: Path, process: subprocess.Popen[str]) -> Cluster:
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith(READY):
        raise RuntimeError(f"the cluster did not start; it said {line!r}, and more on its standard error")
    return Cluster(url=line.removeprefix(READY).strip(), root=root, process=process)


def _command(root: Path, asked: Asked) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    certificates = ensure_certificates(root / "certificates", "cluster")
    images = _written(root / "images.json", asked.images)
    pod_env = _written(root / "pod-env.json", asked.pod_env or None)
    return [
        *(sys.executable, "-m", "local.cluster", "--root", str(root)),
        *("--cert", str(certificates.certificate), "--key", str(certificates.key)),
        *("--ca", str(certificates.authority), "--nodes", str(asked.nodes)),
        *("--simulated-nodes", str(asked.simulated_nodes)),
        *("--backoff-seconds", str(asked.backoff_seconds)),
        *(["--images", str(images)] if images else []),
        *(["--pod-env", str(pod_env)] if pod_env else []),
        *(["--control"] if asked.control else []),
    ]


def _written(file: Path, content: object) -> Path | None:
    if content is None:
        return None
    file.write_text(json.dumps(content))
    return file
