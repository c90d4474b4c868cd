"""The life of one container: image, attempts, back-off, endings."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from local.cluster.nodes import statuses
from local.cluster.nodes.backoff import Backoff, duration
from local.cluster.nodes.environment import ConfigError, environment_of, expand
from local.cluster.nodes.images import ImageCatalogue, ImageFile, is_pause, pull_failure
from local.cluster.nodes.processes import (
    START_ERROR_CODE,
    Exit,
    Running,
    start,
    start_failure,
    termination_message,
)
from local.cluster.nodes.sandbox import Process, Toolbox
from local.cluster.nodes.volumes import MountError, mounts_of
from local.cluster.objects import Json, name_of, namespace_of, uid_of, utc_now
from local.cluster.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from local.cluster.nodes.logs import LogFolder
    from local.cluster.store import Store

HOSTNAME_LENGTH = 63
"""What Linux allows; longer pod names are cut, as the kubelet cuts them."""

FALLBACK_LINES = 80
FALLBACK_BYTES = 2048
"""What `FallbackToLogsOnError` takes from the log's end: Kubernetes' own limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What all node agents of a cluster share."""

    root: Path
    logs: LogFolder
    toolbox: Toolbox
    images: ImageCatalogue | ImageFile
    injected: Mapping[str, str]
    backoff: Backoff


class PodView(Protocol):
    """What a container sees of its pod."""

    store: Store
    settings: NodeSettings
    pod: Json
    volumes: dict[str, Path]
    folder: Path

    def show(self, status: Json) -> None:
        """Publish a container's new state."""

    def state_of(self, name: str) -> Json:
        """A container's state as last published."""

    def tell(self, container: str, kind: str, reason: str, message: str) -> None:
        """Record an event about a container."""


class Container:
    """One container of one pod."""

    def __init__(self, view: PodView, spec: Json, *, init: bool) -> None:
        self._view = view
        self._spec = spec
        self._init = init
        self._name = str(spec["name"])
        self._failures = 0
        self._running: Running | None = None
        self._stopping = False

    async def live(self) -> bool:
        """Run until it is over for good; True when it succeeded."""
        policy = self._view.pod["spec"]["restartPolicy"]
        while True:
            await self._await_image()
            ended = await self._attempt()
            if self._stopping:
                await _for_ever()
            if ended.succeeded and (self._init or policy != "Always"):
                return True
            if not ended.succeeded and policy == "Never":
                return False
            await self._back_off()

    async def stop(self, grace_seconds: float) -> None:
        """End the process that runs, if one does; there will be no other."""
        self._stopping = True
        if self._running:
            self._view.tell(self._name, "Normal", "Killing", f"Stopping container {self._name}")
            await self._running.stop(grace_seconds)

    def retire(self) -> None:
        """End at once, and for good."""
        self._stopping = True
        self.kill()

    def kill(self) -> None:
        """As if the node's kernel had killed it."""
        if self._running:
            self._running.kill()

    async def _await_image(self) -> None:
        image, view, tries = self._spec["image"], self._view, 0
        while (answer := view.settings.images.ask(image)) != "present":
            if self._spec["imagePullPolicy"] == "Never":
                message = f'Container image "{image}" is not present with pull policy of Never'
                view.tell(self._name, "Warning", "ErrImageNeverPull", message)
                self._show_waiting("ErrImageNeverPull", message)
                await _for_ever()
            await self._fail_to_pull(image, pull_failure(image, answer), tries)
            tries += 1
        view.tell(self._name, "Normal", "Pulled", f'Container image "{image}" already present on machine')

    async def _fail_to_pull(self, image: str, why: str, tries: int) -> None:
        view, backoff = self._view, self._view.settings.backoff
        view.tell(self._name, "Warning", "Failed", f'Failed to pull image "{image}": {why}')
        self._show_waiting("ErrImagePull", why)
        await asyncio.sleep(backoff.first_seconds)
        told = f'Back-off pulling image "{image}"'
        view.tell(self._name, "Normal", "BackOff", told)
        self._show_waiting("ImagePullBackOff", f"{told}: ErrImagePull: {why}")
        await asyncio.sleep(backoff.growing(tries))

    async def _attempt(self) -> Exit:
        began = utc_now()
        if is_pause(self._spec):
            self._show_running(began)
            await _for_ever()
        try:
            process = self._process()
        except (ConfigError, MountError, OSError) as error:
            self._view.tell(self._name, "Warning", "Failed", f"Error: {error}")
            self._show_waiting("CreateContainerConfigError", str(error))
            await _for_ever()
        status = self._show_running(began)
        ended = await self._run(process, self._log_of(status))
        self._show_ending(status, ended, began, process.termination_log)
        ran_seconds = (utc_now() - began).total_seconds()
        self._failures = self._view.settings.backoff.failures_after(self._failures, ran_seconds)
        return ended

    async def _run(self, process: Process, log: Path) -> Exit:
        try:
            self._running = await start(process, self._view.settings.toolbox, log, self._limit_bytes())
        except (OSError, ValueError) as error:
            return Exit(code=START_ERROR_CODE, reason=statuses.START_ERROR, message=str(error))
        try:
            ended = await self._running.wait()
        finally:
            self._running = None
        return start_failure(ended, self._said(log)) or ended

    def _said(self, log: Path) -> str:
        identity = uid_of(self._view.pod)
        return self._view.settings.logs.read(identity, self._name, log.stem, timestamps=False) or ""

    def _show_running(self, began: datetime) -> Json:
        before = self._view.state_of(self._name)
        identity = f"{uid_of(self._view.pod)}/{self._name}/{began.isoformat()}"
        container_id = f"containerd://{hashlib.sha256(identity.encode()).hexdigest()}"
        status = statuses.running(before, container_id, began, ready=not self._init)
        self._view.tell(self._name, "Normal", "Created", f"Created container: {self._name}")
        self._view.tell(self._name, "Normal", "Started", f"Started container {self._name}")
        self._view.show(status)
        return status

    def _show_ending(self, status: Json, ended: Exit, began: datetime, termination_log: Path) -> None:
        ending = statuses.Ending(
            exit_code=ended.code,
            reason=ended.reason,
            started_at=began,
            finished_at=utc_now(),
            message=ended.message or self._last_words(ended, status, termination_log),
        )
        last = status["lastState"].get("terminated")
        if last:
            # The kubelet prunes the attempt before as soon as this one has ended.
            self._view.settings.logs.prune(uid_of(self._view.pod), self._name, last["containerID"])
        self._view.show(statuses.terminated(status, ending, init=self._init))
        if ended.reason == statuses.START_ERROR:
            self._view.tell(self._name, "Warning", "Failed", f"Error: {ended.message}")
            self._show_waiting("RunContainerError", ended.message)

    def _last_words(self, ended: Exit, status: Json, termination_log: Path) -> str:
        message = termination_message(termination_log)
        if message or ended.succeeded or self._spec["terminationMessagePolicy"] != "FallbackToLogsOnError":
            return message
        lines = self._said(self._log_of(status)).splitlines(keepends=True)
        return "".join(lines[-FALLBACK_LINES:])[-FALLBACK_BYTES:]

    def _log_of(self, status: Json) -> Path:
        return self._view.settings.logs.path(uid_of(self._view.pod), self._name, status["containerID"])

    async def _back_off(self) -> None:
        pause = self._view.settings.backoff.pause(self._failures)
        if pause is None:
            return
        await asyncio.sleep(pause.terminated_seconds)
        pod = self._view.pod
        full = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        told = f"Back-off restarting failed container {self._name} in pod {full}"
        self._view.tell(self._name, "Warning", "BackOff", told)
        message = (
            f"back-off {duration(pause.told_seconds)} restarting failed container={self._name} pod={full}"
        )
        self._show_waiting("CrashLoopBackOff", message)
        await asyncio.sleep(pause.waiting_seconds)

    def _show_waiting(self, reason: str, message: str) -> None:
        self._view.show(statuses.waiting(self._view.state_of(self._name), reason, message))

    def _process(self) -> Process:
        view, spec = self._view, self._spec
        environment = environment_of(view.store, view.pod, spec, view.settings.injected)
        parts = [*(spec.get("command") or []), *(spec.get("args") or [])]
        if not parts:
            raise ConfigError(
                f"container {self._name} names no command, and no image is here to take one from"
            )
        termination_log = view.folder / self._name / "termination-log"
        termination_log.parent.mkdir(parents=True, exist_ok=True)
        termination_log.write_bytes(b"")
        security = {**view.pod["spec"]["securityContext"], **(spec.get("securityContext") or {})}
        drops = (security.get("capabilities") or {}).get("drop") or []
        return Process(
            argv=[expand(part, environment) for part in parts],
            environment=environment,
            working_directory=spec.get("workingDir") or "/",
            mounts=mounts_of(spec, view.volumes),
            termination_log=termination_log,
            user=int(security.get("runAsUser", 0)),
            read_only_root=bool(security.get("readOnlyRootFilesystem")),
            keep_capabilities="ALL" not in drops,
            hostname=environment["HOSTNAME"][:HOSTNAME_LENGTH],
        )

    def _limit_bytes(self) -> int | None:
        limit = (self._spec["resources"].get("limits") or {}).get("memory")
        return int(parse_quantity(limit)) if limit else None


async def _for_ever() -> NoReturn:
    """Until the pod's task is cancelled."""
    while True:
        await asyncio.Event().wait()
