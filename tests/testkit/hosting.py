"""Functions hosts as processes on free ports, and a small client for them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

APP = Path(__file__).parents[1] / "host" / "app"
REPOSITORY = Path(__file__).parents[2]
TERMINAL = ("Completed", "Failed", "Terminated")
PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningHost:
    """A host process; `base` is its origin."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.log = log
        if process.stdout is None:
            raise AssertionError("the host is started with its output piped")
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"the host did not start: {log.read_text()}")
        self.base = line.split()[1]

    @property
    def rpc(self) -> str:
        """The origin that the SDK's client calls back on."""
        binding = self.ask("GET", "/api/client").json
        return str(binding["rpcBaseUrl"]).removesuffix("/durabletask/")

    @property
    def durable(self) -> str:
        return f"{self.base}/runtime/webhooks/durabletask"

    def ask(
        self, method: str, url: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request; a path is one of the management API, `/api/...` one of the app's."""
        if url.startswith("/"):
            url = (self.base if url.startswith(("/api", "/admin")) else self.durable) + url
        data = None if body is None else body.encode()
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310
                return Answer(status=response.status, headers=response.headers, body=response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(status=refused.code, headers=refused.headers, body=refused.read())

    def start(self, name: str, payload: object = None, instance_id: str | None = None) -> str:
        """Start an orchestration as the SDK does; gives its id."""
        instance_id = instance_id or f"{name}-{uuid.uuid4().hex[:8]}"
        body = "" if payload is None else json.dumps(payload)
        answer = self.ask("POST", f"/api/start/{name}?id={instance_id}", body)
        assert answer.status == 202, answer.body
        return instance_id

    def status(self, instance_id: str, query: str = "") -> dict[str, Any]:
        status: dict[str, Any] = self.ask("GET", f"/instances/{instance_id}{query}").json
        return status

    def until(self, instance_id: str, *statuses: str, query: str = "") -> dict[str, Any]:
        """Give the instance's status once it is one of those, by default once it is over."""
        over: dict[str, Any] = self.until_true(
            lambda: self.status(instance_id, query),
            lambda status: status["runtimeStatus"] in (statuses or TERMINAL),
        )
        return over

    def run(self, name: str, payload: object = None) -> dict[str, Any]:
        """Start an orchestration and give its status once it is over."""
        return self.until(self.start(name, payload))

    def raise_event(self, instance_id: str, name: str, payload: object) -> Answer:
        return self.ask(
            "POST",
            f"/instances/{instance_id}/raiseEvent/{name}",
            json.dumps(payload),
            {"content-type": "application/json"},
        )

    def until_true(self, look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        """Look until what is seen holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(seen := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {PATIENCE_SECONDS} s: {seen}")
            time.sleep(0.02)
        return seen

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """Send SIGTERM and give the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Starter:
    """Starts hosts and sees to their end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[RunningHost] = []

    def __call__(self, *arguments: str, app: Path = APP, env: dict[str, str] | None = None) -> RunningHost:
        log = self._folder / f"host-{len(self._started)}.log"
        process = self.spawn(*arguments, app=app, env=env, log=log)
        host = RunningHost(process, log)
        self._started.append(host)
        return host

    def spawn(
        self, *arguments: str, app: Path, env: dict[str, str] | None = None, log: Path
    ) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "local.host", str(app), "--port", "0", *arguments]
        with log.open("w") as stderr:
            return subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=os.environ | (env or {}),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def end_all(self) -> None:
        for host in self._started:
            host.kill()
            if host.process.stdout is not None:
                host.process.stdout.close()
