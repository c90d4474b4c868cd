"""How quick the laptop stack is, each figure against the limit it must keep.

    .venv/bin/python -m bench.laptop_stack

One run, one machine; a ratio above 1 keeps its limit. Run it on a quiet machine.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config

from local import stack
from local.certificates import ensure_certificates
from local.places import REPOSITORY, Places

ROUNDS = 9  # medians are told
# Short, as most are: what a long history adds to a round trip is the SDK's replay of it.
ACTIVITIES = 10
# By fifties, for the same reason: a parent of all 600 would replay them at most of their ends.
FANS, FAN = 12, 50
NODES = 1_000
PAGE = 250
IDLE_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was measured, and the limit it is held against."""

    name: str
    measured: float
    limit: float
    unit: str
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How well the limit is kept: 2 is twice as good as it must be."""
        return self.measured / self.limit if self.more_is_better else self.limit / self.measured


def main() -> None:
    """Measure everything and print one line each."""
    for measure in (durable, kubernetes, whole_stack):
        for figure in measure():
            print(
                f"{figure.name:44} {figure.measured:8.2f} {figure.unit:14} "
                f"limit {figure.limit:6g}   ratio {figure.ratio:.2f}",
                flush=True,
            )


def durable() -> Iterator[Figure]:
    """An activity's round trip, and orchestrations in a burst."""
    with _host() as url:
        _run(url, "chain", {"activities": 1})  # the first one imports and connects
        bare = _median(lambda: _run(url, "chain", {"activities": 0}))
        chained = _median(lambda: _run(url, "chain", {"activities": ACTIVITIES}))
        trip = (chained - bare) / ACTIVITIES * 1_000
        yield Figure(name="activity round trip", measured=trip, limit=3, unit="ms")
        burst = _median(lambda: _run(url, "burst", {"fans": FANS, "fan": {"orchestrations": FAN}}))
        yield Figure(
            name="orchestrations of one activity",
            measured=FANS * FAN / burst,
            limit=300,
            unit="per second",
            more_is_better=True,
        )


def kubernetes() -> Iterator[Figure]:
    """All pods of a DaemonSet on a thousand nodes, by pages."""
    with _cluster() as kubeconfig:
        config.load_kube_config(str(kubeconfig))
        client.AppsV1Api().create_namespaced_daemon_set("default", _daemon_set())
        while client.AppsV1Api().read_namespaced_daemon_set("wide", "default").status.number_ready != NODES:
            time.sleep(0.2)
        yield Figure(name=f"{NODES} pods listed by pages", measured=_median(_list_pods), limit=1, unit="s")


def whole_stack() -> Iterator[Figure]:
    """From nothing to serving, and what it costs to sit there."""
    with tempfile.TemporaryDirectory() as folder:
        places = Places(root=Path(folder))
        began = time.monotonic()
        up = stack.up(places)
        try:
            yield Figure(name="stack up", measured=time.monotonic() - began, limit=6, unit="s")
            time.sleep(2)  # what a start leaves behind is no idling
            before = sum(_cpu_seconds(each.pid) for each in up.started)
            time.sleep(IDLE_SECONDS)
            used = sum(_cpu_seconds(each.pid) for each in up.started) - before
            yield Figure(name="stack idle", measured=100 * used / IDLE_SECONDS, limit=2, unit="% of a core")
        finally:
            stack.down(places)


def _median(act: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        act()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def _run(url: str, name: str, given: dict[str, Any]) -> None:
    body = json.dumps({**given, "key": str(uuid.uuid4())}).encode()
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{url}/api/run/{name}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=180) as answer:  # noqa: S310 - same
        assert answer.status == 200, answer.read()  # noqa: PLR2004 - HTTP's own word


@contextmanager
def _host() -> Iterator[str]:
    app = str(REPOSITORY / "bench/laptop_app")
    with _started([sys.executable, "-m", "local.host", app, "--port", "0"]) as url:
        yield url


@contextmanager
def _cluster() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        tls = ensure_certificates(Path(folder) / "tls", "cluster")
        kubeconfig = Path(folder) / "kubeconfig"
        files = ["--cert", str(tls.certificate), "--key", str(tls.key), "--ca", str(tls.authority)]
        size = ["--nodes", "0", "--simulated-nodes", str(NODES), "--kubeconfig", str(kubeconfig)]
        with _started([sys.executable, "-m", "local.cluster", "--root", folder, *files, *size]):
            yield kubeconfig


@contextmanager
def _started(command: list[str]) -> Iterator[str]:
    """Start a server and yield the address in its `ready` line."""
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("ready ")), "")
        assert line, f"{command[2]} did not start"
        try:
            yield line.split()[1]
        finally:
            process.terminate()


def _list_pods() -> None:
    """As the product lists them: JSON, without a client object per field."""
    token, seen = "", 0
    while True:
        answer = client.CoreV1Api().list_namespaced_pod(
            "default", limit=PAGE, _continue=token, _preload_content=False
        )
        page = json.loads(answer.data)
        token, seen = page["metadata"].get("continue", ""), seen + len(page["items"])
        if not token:
            break
    assert seen == NODES


def _daemon_set() -> dict[str, object]:
    labels = {"app": "wide"}
    container = {"name": "pause", "image": "mcr.microsoft.com/oss/kubernetes/pause:3.9"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "wide"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
