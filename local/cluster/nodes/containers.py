"""The life of one container: image, attempts, back-off, endings."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from local.cluster.nodes import statuses
from local.cluster.nodes.environment import ConfigError, environment_of, expand
from local.cluster.nodes.images import ImageCatalogue, is_pause, pull_failure
from local.cluster.nodes.processes import Exit, Running, start, termination_message
from local.cluster.nodes.sandbox import Process, Toolbox
from local.cluster.nodes.volumes import mounts_of
from local.cluster.objects import Json, name_of, namespace_of, uid_of, utc_now
from local.cluster.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from local.cluster.nodes.logs import LogFolder
    from local.cluster.store import Store

LONGEST_BACKOFF = 30
"""In units of the first back-off: 10 s grow to 300 s."""

SYNC_SHARE = 1.0
"""A failed container is shown `terminated` for one kubelet sync, which is as long as the first back-off."""

SHORTEST_SHARE = 1.5
"""Recorded: the 10 s back-off ends at the second sync, after 15 s."""

STABLE_SHARE = 60
"""A container that ran this many first back-offs (10 min) before it failed begins anew."""

START_ERROR_CODE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What all node agents of a cluster share."""

    root: Path
    logs: LogFolder
    toolbox: Toolbox
    images: ImageCatalogue
    injected: Mapping[str, str]
    backoff_seconds: float


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

    async def live(self) -> bool:
        """Run until it is over for good; True when it succeeded."""
        policy = self._view.pod["spec"]["restartPolicy"]
        while True:
            await self._await_image()
            ending = await self._attempt()
            succeeded = ending.code == 0 and ending.reason == statuses.COMPLETED
            if succeeded and (self._init or policy != "Always"):
                return True
            if not succeeded and policy == "Never":
                return False
            await self._back_off()

    async def stop(self, grace_seconds: float) -> None:
        """End the process that runs, if one does."""
        if self._running:
            self._view.tell(self._name, "Normal", "Killing", f"Stopping container {self._name}")
            await self._running.stop(grace_seconds)

    def kill(self) -> None:
        """As if the node's kernel had killed it."""
        if self._running:
            self._running.kill()

    async def _await_image(self) -> None:
        image, view = self._spec["image"], self._view
        answer = view.settings.images.ask(image)
        if answer == "present":
            view.tell(self._name, "Normal", "Pulled", f'Container image "{image}" already present on machine')
            return
        if self._spec["imagePullPolicy"] == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            view.tell(self._name, "Warning", "ErrImageNeverPull", message)
            self._show_waiting("ErrImageNeverPull", message)
            await asyncio.Event().wait()
        await self._fail_to_pull(image, pull_failure(image, answer))

    async def _fail_to_pull(self, image: str, why: str) -> None:
        first = self._view.settings.backoff_seconds
        delay = first
        while True:
            self._view.tell(self._name, "Warning", "Failed", f'Failed to pull image "{image}": {why}')
            self._show_waiting("ErrImagePull", why)
            await asyncio.sleep(first * SYNC_SHARE)
            told = f'Back-off pulling image "{image}"'
            self._view.tell(self._name, "Normal", "BackOff", told)
            self._show_waiting("ImagePullBackOff", f"{told}: ErrImagePull: {why}")
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_BACKOFF * first)

    async def _attempt(self) -> Exit:
        view = self._view
        began = utc_now()
        if is_pause(self._spec):
            self._show_running(began)
            await asyncio.Event().wait()
        try:
            process = self._process()
        except ConfigError as error:
            view.tell(self._name, "Warning", "Failed", f"Error: {error}")
            self._show_waiting("CreateContainerConfigError", str(error))
            await asyncio.Event().wait()
            raise
        status = self._show_running(began)
        log = view.settings.logs.path(uid_of(view.pod), self._name, status["containerID"])
        self._running = await start(process, view.settings.toolbox, log, self._limit_bytes())
        try:
            ended = await self._running.wait()
        finally:
            self._running.kill()
            self._running = None
        self._show_ending(status, ended, began, process.termination_log)
        return ended

    def _show_running(self, began: datetime) -> Json:
        before = self._view.state_of(self._name)
        identity = f"{uid_of(self._view.pod)}/{self._name}/{began.isoformat()}"
        container_id = f"containerd://{hashlib.sha256(identity.encode()).hexdigest()}"
        status = statuses.running(before, container_id, began, ready=not self._init)
        self._view.tell(self._name, "Normal", "Created", f"Created container: {self._name}")
        self._view.tell(self._name, "Normal", "Started", f"Started container {self._name}")
        self._view.show(status)
        return status

    def _show_ending(self, status: Json, ended: Exit, began: datetime, message: Path) -> None:
        ending = statuses.Ending(
            exit_code=ended.code,
            reason=ended.reason,
            started_at=began,
            finished_at=utc_now(),
            message=termination_message(message),
        )
        last = status["lastState"].get("terminated")
        if last:
            # The kubelet prunes the attempt before as soon as this one has ended.
            self._view.settings.logs.prune(uid_of(self._view.pod), self._name, last["containerID"])
        self._view.show(statuses.terminated(status, ending, init=self._init))
        long = STABLE_SHARE * self._view.settings.backoff_seconds
        stable = (ending.finished_at - began).total_seconds() >= long
        self._failures = 1 if stable else self._failures + 1

    async def _back_off(self) -> None:
        if self._failures <= 1:
            return
        first = self._view.settings.backoff_seconds
        delay = min(first * 2 ** (self._failures - 2), LONGEST_BACKOFF * first)
        await asyncio.sleep(first * SYNC_SHARE)
        pod = self._view.pod
        full = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        self._view.tell(
            self._name,
            "Warning",
            "BackOff",
            f"Back-off restarting failed container {self._name} in pod {full}",
        )
        message = f"back-off {_duration(delay)} restarting failed container={self._name} pod={full}"
        self._show_waiting("CrashLoopBackOff", message)
        await asyncio.sleep(max(delay, SHORTEST_SHARE * first) - first * SYNC_SHARE)

    def _show_waiting(self, reason: str, message: str) -> None:
        self._view.show(statuses.waiting(self._view.state_of(self._name), reason, message))

    def _process(self) -> Process:
        view, spec = self._view, self._spec
        environment = environment_of(view.store, view.pod, spec, view.settings.injected)
        argv = [
            expand(part, environment) for part in [*(spec.get("command") or []), *(spec.get("args") or [])]
        ]
        if not argv:
            raise ConfigError(
                f"container {self._name} names no command, and this cluster has no image to take it from"
            )
        termination_log = view.folder / self._name / "termination-log"
        termination_log.parent.mkdir(parents=True, exist_ok=True)
        termination_log.write_bytes(b"")
        security = {**view.pod["spec"]["securityContext"], **(spec.get("securityContext") or {})}
        drops = (security.get("capabilities") or {}).get("drop") or []
        return Process(
            argv=argv,
            environment=environment,
            working_directory=spec.get("workingDir") or "/",
            mounts=mounts_of(spec, view.volumes),
            termination_log=termination_log,
            user=int(security.get("runAsUser", 0)),
            read_only_root=bool(security.get("readOnlyRootFilesystem")),
            keep_capabilities="ALL" not in drops,
            hostname=environment["HOSTNAME"],
        )

    def _limit_bytes(self) -> int | None:
        limit = (self._spec["resources"].get("limits") or {}).get("memory")
        return int(parse_quantity(limit)) if limit else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
