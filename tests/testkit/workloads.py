"""Pods and DaemonSets for tests, and the clients that send them."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes import client, config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

IMAGE = "acr.azurecr.io/ncbi/elb:1.4.0"
PAUSE = "mcr.microsoft.com/oss/kubernetes/pause:3.6"

PATIENCE_SECONDS = 20
"""How long a condition is awaited on a busy machine."""

LOOK_SECONDS = 0.05

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The official client's groups."""

    core: Any
    apps: Any
    batch: Any
    api: Any


@contextmanager
def clients(kubeconfig: Path) -> Iterator[Clients]:
    """Clients for one kubeconfig, closed at the end."""
    with config.new_client_from_config(str(kubeconfig)) as api:
        yield Clients(
            core=client.CoreV1Api(api), apps=client.AppsV1Api(api), batch=client.BatchV1Api(api), api=api
        )


def raw(call: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
    """A call's answer as the JSON that came."""
    answer = call(*arguments, **options, _preload_content=False)
    found: Json = json.loads(answer.data)
    return found


def text(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """A call's answer as text: the client's own decoding of logs gives the repr of bytes."""
    return str(call(*arguments, **options, _preload_content=False).data.decode())


def shell(script: str, **more: Any) -> Json:
    """A container that runs a script."""
    return {"name": "work", "image": IMAGE, "command": ["bash", "-c", script], **more}


def pause() -> Json:
    """A container that waits."""
    return {"name": "hold", "image": PAUSE}


def pod_spec(inits: Sequence[Json], **more: Any) -> Json:
    """Init containers, then a pause; the node's /workspace is at hand as volume `workspace`."""
    workspace = {"name": "workspace", "hostPath": {"path": "/workspace", "type": "DirectoryOrCreate"}}
    return {
        "terminationGracePeriodSeconds": 1,
        "initContainers": list(inits),
        "containers": [pause()],
        **more,
        "volumes": [workspace, *more.get("volumes", [])],
    }


def pod(name: str, spec: Json) -> Json:
    """A pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def daemon_set(name: str, spec: Json, **more: Any) -> Json:
    """A DaemonSet with one label."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            **more,
        },
    }


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The condition's value as soon as it is true; fails with `what` when it does not become so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {PATIENCE_SECONDS} s")
        time.sleep(LOOK_SECONDS)
    return found


def state_of(found: Json, container: str = "work") -> Json:
    """The status of one container; empty before there is one."""
    status = found["status"]
    known = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((entry for entry in known if entry["name"] == container), {})


def waiting_reason(found: Json, container: str = "work") -> str | None:
    """Why a container waits."""
    reason: str | None = state_of(found, container).get("state", {}).get("waiting", {}).get("reason")
    return reason


def ended(found: Json, container: str = "work") -> Json | None:
    """How the last attempt of a container ended, if one did."""
    status = state_of(found, container)
    now = status.get("state", {}).get("terminated")
    last: Json | None = now or status.get("lastState", {}).get("terminated")
    return last
