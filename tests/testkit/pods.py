"""Pods as the API server's own JSON, with good defaults; shapes as captured from Kubernetes 1.34."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain import naming

RUN = "run1"
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
Json = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def told(**changes: Any) -> str:
    """What an agent leaves as its termination message: done, unless changed."""
    report = {
        "schema": 1,
        "run_id": RUN,
        "database": "core_nt",
        "generation": "a1b2c3d4e5f60718",
        "phase": "ready",
        "bytes_done": 100,
        "bytes_total": 100,
        "digest": "ab" * 16,
        "error": None,
    }
    return json.dumps(report | changes)


def failing(kind: str, message: str = "it broke", **changes: Any) -> str:
    """What an agent leaves that gave up."""
    error = {"kind": kind, "message": message, "remedy": "mend it"}
    return told(**({"phase": "failed", "digest": None, "error": error} | changes))


def ended(code: int, reason: str = "", message: str = "", at: datetime = NOON) -> Json:
    """A terminated state."""
    named = reason or ("Error" if code else "Completed")
    state = {"exitCode": code, "reason": named, "finishedAt": stamp(at)}
    return {"terminated": state | ({"message": message} if message else {})}


def waiting(reason: str, message: str = "") -> Json:
    """A waiting state."""
    return {"waiting": {"reason": reason, "message": message}}


def running() -> Json:
    """A running state."""
    return {"running": {"startedAt": stamp(NOON)}}


def init(state: Json, last: Json | None = None, restarts: int = 0) -> Json:
    """The status of the init container."""
    return {
        "name": naming.INIT_CONTAINER,
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "image": "elbacr.azurecr.io/ncbi/elb:1.4.0",
    }


def condition(kind: str, status: str, at: datetime = NOON, **changes: Any) -> Json:
    """One of a pod's conditions."""
    return {"type": kind, "status": status, "lastTransitionTime": stamp(at)} | changes


def pod(*inits: Json, ready: bool = False, age: timedelta = timedelta(minutes=1), **status: Any) -> Json:
    """A pod of the run; `status` overrides parts of its status."""
    born = NOON - age
    return {
        "metadata": {
            "name": "warmup-core-nt-x1",
            "uid": "uid-x1",
            "creationTimestamp": stamp(born),
            "annotations": {naming.RUN_ANNOTATION: RUN},
        },
        "spec": {"nodeName": "node0"},
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": [condition("Ready", str(ready), born)],
            "initContainerStatuses": list(inits),
            "containerStatuses": [
                {"name": "pause", "state": running() if ready else waiting("PodInitializing")}
            ],
        }
        | status,
    }


def warm() -> Json:
    """A pod whose agent has verified every byte."""
    return pod(init(ended(0, message=told())), ready=True)
