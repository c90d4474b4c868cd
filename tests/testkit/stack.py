"""A whole stack of a test's own: everything real, on free ports, in a folder that is thrown away."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.storage.blob import BlobServiceClient
from testkit.fate import Fate
from testkit.waiting import POLL_SECONDS, RUN_SECONDS, wait_until

from local import azurite, databases, processes, stack, wiring
from local.dashboard import Dashboard
from local.evidence import BlobLog
from local.places import Places, places
from local.stack import Stack
from local.staging import stage
from local.wiring import DATA_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.processes import Started

DATABASE = "rrna16s_archaea"  # small, and its name begins with another's
LARGE_DATABASE = "rrna16s"
SLOW_MBPS = 4  # of the large database: half a minute of copying, so that things can befall it


@dataclass(slots=True, kw_only=True)
class LaptopStack:
    """A stack that is up, with every database staged."""

    up: Stack
    dashboard: Dashboard
    sources: dict[str, Path]

    @property
    def places(self) -> Places:
        """Where it lies."""
        return self.up.wiring.places

    @property
    def fate(self) -> Fate:
        """What can befall it."""
        return Fate(wiring=self.up.wiring)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request to the app: status and body."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.up.wiring.app_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"null")

    def body(self, database: str, **fields: Any) -> dict[str, Any]:
        """The dashboard's smallest body, and what a test adds."""
        return self.dashboard.smallest_body(database) | fields

    def warm(self, database: str, **fields: Any) -> dict[str, Any]:
        """Start and wait; the last status."""
        return self.finish(self.start(database, **fields))

    def start(self, database: str, **fields: Any) -> str:
        """Start; the run's id."""
        status, answer = self.ask("POST", "warmup/start", self.body(database, **fields))
        assert status == 202, answer
        return str(answer["instance_id"])

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Cancel and wait; the last status."""
        assert self.ask("POST", f"warmup/{run_id}/cancel", {})[0] == 202
        return self.finish(run_id)

    def empty_nodes(self) -> None:
        """Let no node hold anything."""
        for node in self.up.wiring.node_names:
            shutil.rmtree(self.places.blast_folder(node), ignore_errors=True)

    def start_copying(self, database: str, **fields: Any) -> str:
        """Start on nodes that hold nothing, and come back in mid-copy; the run's id."""
        self.empty_nodes()
        run_id = self.start(database, **{"max_mbps_per_node": SLOW_MBPS} | fields)
        self.await_status(run_id, lambda status: len(_copying(status)) >= len(self.up.wiring.node_names))
        return run_id

    def await_cause(self, run_id: str, kind: str) -> dict[str, Any]:
        """Wait until a cause is named; the status that names it."""
        return self.await_status(run_id, lambda status: kind in causes(status))

    def finish(self, run_id: str) -> dict[str, Any]:
        """Wait until a run is over; its last status."""
        return self.await_status(run_id, lambda status: status["runtime_status"] == "Completed")

    def await_status(self, run_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a status is as wanted."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            code, status = self.ask("GET", f"warmup/{run_id}/status")
            if code == 200 and holds(status):
                return dict(status)
            assert status.get("runtime_status") != "Completed", status
            assert time.monotonic() < deadline, status
            time.sleep(POLL_SECONDS)

    def blob_log(self) -> BlobLog:
        """What the blob server sends from now on."""
        return BlobLog(self.places.blob_requests)

    def network(self) -> Any:
        """Who may reach the databases' account now, in ARM's own record."""
        return self.fate.azure("GET", "state")["networks"][DATA_ACCOUNT][-1]["network"]

    @contextmanager
    def app_settings(self, **settings: str) -> Iterator[None]:
        """Run the app with other settings for a while."""
        self._restart_host(settings)
        try:
            yield
        finally:
            self._restart_host({})

    def kill_host(self, effect: str) -> None:
        """Let the host die at the next activity, as `local.host.faults` says, and start it again."""
        host = next(each for each in self.up.started if each.name == "host")
        with suppress(OSError, HTTPException):  # it may be dead before it has answered
            self.fate.host("PUT", "admin/faults", {"faults": [{"effect": effect}]})
        wait_until(lambda: not host.is_alive)
        self._restart_host({})

    def await_health(self) -> None:
        """Wait until the app serves."""
        wait_until(self._is_healthy)

    def _is_healthy(self) -> bool:
        try:
            return self.ask("GET", "health")[0] == 200
        except OSError:
            return False

    def replace_process(self, before: Started, now: Started) -> None:
        """A test ended one process and started another in its place."""
        started = tuple(now if each == before else each for each in self.up.started)
        self.up = Stack(wiring=self.up.wiring, started=started)
        stack.record(self.up)

    def _restart_host(self, settings: dict[str, str]) -> None:
        host = next(each for each in self.up.started if each.name == "host")
        processes.end([host])
        program = next(each for each in wiring.programs(self.up.wiring) if each.name == "host")
        changed = replace(program, environment={**program.environment, **settings})
        again = processes.start(changed, log=self.places.logs / "host.log")
        self.replace_process(host, again)
        self.await_health()

    def secrets(self) -> tuple[str, ...]:
        """Account keys, the identity header, the token of the kubeconfig."""
        keys = azurite.account_keys(self.up.wiring.azurite).values()
        header = (self.places.tls / "identity-header").read_text()
        token = re.search(r"token:? *\"?([^\"\s]+)", self.places.kubeconfig.read_text())
        assert token is not None
        return (*keys, header, token[1])

    def everything_written(self) -> str:
        """Task hub, logs, the app's documents and what it wrote into Kubernetes, as text."""
        hub = self.places.root.glob(f"{self.places.host_state.name}*")
        files = [*hub, *stack.log_files(self.places)]
        written = [file.read_text(errors="replace") for file in files]
        return "\n".join([*written, *self._documents(), *map(json.dumps, self.fate.written_objects())])

    def _documents(self) -> list[str]:
        plan, account = self.up.wiring.azurite, wiring.STATE_ACCOUNT
        key, trusted = azurite.account_keys(plan)[account], str(self.places.tls / "ca.pem")
        url = f"{plan.endpoint}/{account}"
        with BlobServiceClient(url, credential=key, connection_verify=trusted) as service:
            container = service.get_container_client("warmup-state")
            return [container.download_blob(name).readall().decode() for name in container.list_blob_names()]


def causes(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The causes that a status names, by kind."""
    return {cause["kind"]: cause for cause in (status["custom_status"] or {}).get("causes", ())}


@contextmanager
def laptop_stack(root: Path) -> Iterator[LaptopStack]:
    """Bring one up, stage the databases, take it down."""
    folders = databases.prepare(places().data, _quietly)
    where = places(root)
    up = stack.up(where, control=True)
    try:
        for folder in folders:
            stage(up.wiring.staging_server, folder, folder.name, _quietly)
        yield LaptopStack(
            up=up,
            dashboard=Dashboard(wiring=up.wiring),
            sources={folder.name: folder for folder in folders},
        )
    finally:
        stack.down(where)


def _copying(status: dict[str, Any]) -> list[str]:
    nodes = (status["custom_status"] or {}).get("nodes", ())
    return [each["node"] for each in nodes if each["phase"] == "copying"]


def _quietly(_step: str, _done: int, _total: int) -> None:
    """Tests print nothing."""
