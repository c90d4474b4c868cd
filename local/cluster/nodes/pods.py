"""The life of one pod on its node: volumes, init containers in order, containers together, and the end."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Literal

from local.cluster.events import Event, Source, record
from local.cluster.nodes import statuses
from local.cluster.nodes.containers import Container, NodeSettings
from local.cluster.nodes.volumes import MountError, VolumeFolders, set_up_volumes
from local.cluster.objects import (
    Json,
    containers_of,
    is_ready,
    name_of,
    namespace_of,
    uid_of,
    utc_now,
)
from local.cluster.resources import NODES, PODS

if TYPE_CHECKING:
    from pathlib import Path

    from local.cluster.store import Store

MOUNT_RETRY_SHARE = 0.2
"""In first back-offs: volumes are tried again after 2 s at the usual pace of 10 s."""

KILLED_CODE = 137
"""Of a process that died with its node: 128 + SIGKILL."""


class PodLife:
    """One pod; `run` is its task, everything else is asked from outside."""

    def __init__(self, store: Store, settings: NodeSettings, pod: Json) -> None:
        self.store = store
        self.settings = settings
        self.pod = pod
        self.volumes: dict[str, Path] = {}
        self.folder = settings.root / "cluster" / "pods" / uid_of(pod)
        self._node = str(pod["spec"]["nodeName"])
        self._states = {str(item["name"]): _first_state(pod, item) for item in containers_of(pod)}
        self._sandbox = False
        self._retired = False
        inits = pod["spec"].get("initContainers") or []
        self._inits = [Container(self, spec, init=True) for spec in inits]
        self._mains = [Container(self, spec, init=False) for spec in pod["spec"]["containers"]]

    async def run(self) -> None:
        """Until its containers are over for good; cancelled when the pod is to end."""
        self.publish()
        await self._mount()
        self._sandbox = True
        self.publish()
        for container in self._inits:
            if not await container.live():
                return
        await asyncio.gather(*(container.live() for container in self._mains))

    async def stop(self, grace_seconds: float) -> None:
        """End its processes, politely first."""
        await asyncio.gather(*(container.stop(grace_seconds) for container in [*self._inits, *self._mains]))

    def retire(self) -> None:
        """Somebody else has given the pod its last status: its processes end, and it says nothing more."""
        self._retired = True
        for container in [*self._inits, *self._mains]:
            container.retire()

    def kill(self) -> None:
        """Kill its processes, as a failing node would; the containers' own rules decide what follows."""
        for container in [*self._inits, *self._mains]:
            container.kill()

    def clean_up(self) -> None:
        """Remove what it kept on the node besides hostPath."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.settings.logs.forget(uid_of(self.pod))

    def show(self, status: Json) -> None:
        """Publish a container's new state."""
        self._states[status["name"]] = status
        self.publish()

    def state_of(self, name: str) -> Json:
        """A container's state as last published."""
        return self._states[name]

    def publish(self) -> None:
        """Write the pod's status, unless the pod is gone or its node does not report."""
        current = self.store.find(PODS, namespace_of(self.pod), name_of(self.pod))
        node = self.store.find(NODES, "", self._node)
        gone = current is None or uid_of(current) != uid_of(self.pod)
        silent = self._retired or node is None or not is_ready(node)
        if current is None or gone or silent:
            return
        status = statuses.pod_status(current, self._states, utc_now(), sandbox=self._sandbox)
        self.store.update(PODS, {**current, "status": status})

    def tell(self, container: str, kind: str, reason: str, message: str) -> None:
        """Record an event about a container, or about the pod (no container)."""
        inits = {item["name"] for item in self.pod["spec"].get("initContainers") or []}
        group = "initContainers" if container in inits else "containers"
        path = f"spec.{group}{{{container}}}" if container else ""
        source = Source(component="kubelet", host=self._node)
        record(
            self.store,
            self.pod,
            Event(type=_event_type(kind), reason=reason, message=message, source=source, field_path=path),
        )

    async def _mount(self) -> None:
        folders = VolumeFolders(
            node_root=self.settings.root / "nodes" / self._node, own=self.folder / "volumes"
        )
        while True:
            try:
                self.volumes = set_up_volumes(self.store, self.pod, folders)
            except (MountError, OSError) as error:
                self.tell("", "Warning", "FailedMount", str(error))
                await asyncio.sleep(MOUNT_RETRY_SHARE * self.settings.backoff.first_seconds)
            else:
                return


def _first_state(pod: Json, container: Json) -> Json:
    """Of a new pod, or of one that the cluster's restart brought back: what ran then has ended."""
    known = pod.get("status", {})
    found = [
        *(known.get("initContainerStatuses") or []),
        *(known.get("containerStatuses") or []),
    ]
    before: Json | None = next((status for status in found if status["name"] == container["name"]), None)
    fresh = statuses.initial(container)
    if before is None or "containerID" not in before:
        return fresh
    return {**fresh, "restartCount": before["restartCount"], "lastState": _ended(before)}


def _ended(status: Json) -> Json:
    if "running" not in status["state"]:
        ended: Json = status["state"] if "terminated" in status["state"] else status["lastState"]
        return ended
    ending = statuses.Ending(
        exit_code=KILLED_CODE,
        reason=statuses.ERROR,
        started_at=utc_now(),
        finished_at=utc_now(),
    )
    state: Json = statuses.terminated(status, ending, init=False)["state"]
    return state


def _event_type(kind: str) -> Literal["Normal", "Warning"]:
    return "Warning" if kind == "Warning" else "Normal"
