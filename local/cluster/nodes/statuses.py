"""The JSON that a kubelet reports: container states and pod status. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.cluster.defaulting import quality_of_service
from local.cluster.objects import Json, condition_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HOST_ADDRESS = "127.0.0.1"

COMPLETED = "Completed"
ERROR = "Error"
OOM_KILLED = "OOMKilled"
START_ERROR = "StartError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one attempt of a container ended."""

    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""


def initial(container: Json, restarts: int = 0) -> Json:
    """Before anything happened."""
    status: Json = {
        "name": container["name"],
        "state": {"waiting": {"reason": "PodInitializing"}},
        "lastState": {},
        "ready": False,
        "restartCount": restarts,
        "image": container["image"],
        "imageID": "",
        "started": False,
    }
    mounts = [_mount(mount) for mount in container.get("volumeMounts") or []]
    return {**status, "volumeMounts": mounts} if mounts else status


def waiting(status: Json, reason: str, message: str = "") -> Json:
    """Not running, and why; a terminated state moves to `lastState`."""
    told = {"reason": reason, **({"message": message} if message else {})}
    ended = status["state"] if "terminated" in status["state"] else status["lastState"]
    return {**status, "state": {"waiting": told}, "lastState": ended, "ready": False, "started": False}


def running(status: Json, container_id: str, started_at: datetime, *, ready: bool) -> Json:
    """A process runs; what ended before is its `lastState`, and counts as a restart."""
    ended = status["state"] if "terminated" in status["state"] else status["lastState"]
    return {
        **status,
        "state": {"running": {"startedAt": timestamp(started_at)}},
        "lastState": ended,
        "ready": ready,
        "restartCount": status["restartCount"] + (1 if ended else 0),
        "imageID": image_id(status["image"]),
        "containerID": container_id,
        "started": True,
        "resources": {},
    }


def terminated(status: Json, ending: Ending, *, init: bool) -> Json:
    """The attempt ended; an init container that succeeded is ready and forgets its failures."""
    succeeded = init and ending.exit_code == 0 and ending.reason == COMPLETED
    state = {
        "exitCode": ending.exit_code,
        "reason": ending.reason,
        **({"message": ending.message} if ending.message else {}),
        "startedAt": timestamp(ending.started_at),
        "finishedAt": timestamp(ending.finished_at),
        "containerID": status["containerID"],
    }
    last = {} if succeeded else status["lastState"]
    return {**status, "state": {"terminated": state}, "lastState": last, "ready": succeeded, "started": False}


def pod_status(pod: Json, containers: Mapping[str, Json], now: datetime, *, sandbox: bool) -> Json:
    """The pod's status from its containers' states."""
    inits = [containers[item["name"]] for item in pod["spec"].get("initContainers") or []]
    mains = [containers[item["name"]] for item in pod["spec"]["containers"]]
    before = pod.get("status", {})
    conditions = [
        _condition(pod, kind, now, problem)
        for kind, problem in _problems(inits, mains, sandbox=sandbox).items()
    ]
    return {
        "phase": _phase(pod, inits, mains),
        "conditions": conditions,
        "hostIP": HOST_ADDRESS,
        "hostIPs": [{"ip": HOST_ADDRESS}],
        "podIP": HOST_ADDRESS,
        "podIPs": [{"ip": HOST_ADDRESS}],
        "startTime": before.get("startTime") or timestamp(now),
        **({"initContainerStatuses": inits} if inits else {}),
        "containerStatuses": mains,
        "qosClass": quality_of_service(pod),
    }


def image_id(image: str) -> str:
    """A digest that stands for the image."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _mount(mount: Json) -> Json:
    shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return {**shown, "readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else shown


def _problems(inits: list[Json], mains: list[Json], *, sandbox: bool) -> dict[str, tuple[str, str] | None]:
    incomplete = " ".join(item["name"] for item in inits if not item["ready"])
    unready = " ".join(item["name"] for item in mains if not item["ready"])
    initialized = ("ContainersNotInitialized", f"containers with incomplete status: [{incomplete}]")
    ready = ("ContainersNotReady", f"containers with unready status: [{unready}]")
    return {
        "PodReadyToStartContainers": None if sandbox else ("", ""),
        "Initialized": initialized if incomplete else None,
        "Ready": ready if unready else None,
        "ContainersReady": ready if unready else None,
        "PodScheduled": None,
    }


def _condition(pod: Json, kind: str, now: datetime, problem: tuple[str, str] | None) -> Json:
    status = "False" if problem else "True"
    known = condition_of(pod, kind)
    same = known is not None and known["status"] == status
    since = known["lastTransitionTime"] if known and same else timestamp(now)
    condition: Json = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if problem and problem[0]:
        condition |= {"reason": problem[0], "message": problem[1]}
    return condition


def _phase(pod: Json, inits: list[Json], mains: list[Json]) -> str:
    policy = pod["spec"]["restartPolicy"]
    if policy == "Never" and any(_failed(item) for item in inits):
        return "Failed"
    if any(not item["ready"] for item in inits):
        return "Pending"
    ended = [item for item in mains if "terminated" in item["state"]]
    if len(ended) == len(mains) and policy != "Always":
        if not any(_failed(item) for item in ended):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    begun = any("waiting" not in item["state"] or item["lastState"] for item in mains)
    return "Running" if begun else "Pending"


def _failed(status: Json) -> bool:
    ended = status["state"].get("terminated")
    return ended is not None and (ended["exitCode"] != 0 or ended["reason"] == OOM_KILLED)
