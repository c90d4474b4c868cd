"""The `log` subresource: which attempt's log is meant, and what is said when there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from local.cluster.failures import bad_request
from local.cluster.objects import Json, containers_of, name_of, uid_of
from local.cluster.resources import PODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local.cluster.nodes.logs import LogFolder
    from local.cluster.requests import ApiRequest
    from local.cluster.store import Store

FOLLOW_SECONDS = 0.2
"""How often a followed log is looked at; a person reads it."""


async def answer(store: Store, logs: LogFolder, request: ApiRequest) -> Response:
    """The text of one container's log; raises 400 and 404 as the kubelet does."""
    pod = store.get(PODS, request.namespace, request.name)
    container = _container_name(pod, request.query.get("container", ""))
    attempt = _attempt(pod, container, previous=request.flag("previous"))
    text = logs.read(uid_of(pod), container, attempt, timestamps=request.flag("timestamps"))
    if text is None:
        return PlainTextResponse(f"unable to retrieve container logs for {attempt}")
    if request.flag("follow"):
        return StreamingResponse(
            _follow(store, logs, request, (pod, container, attempt)), media_type="text/plain"
        )
    return PlainTextResponse(_cut(text, request))


def _cut(text: str, request: ApiRequest) -> str:
    tail = request.number("tailLines")
    if tail is not None:
        text = "".join(text.splitlines(keepends=True)[-tail:]) if tail else ""
    limit = request.number("limitBytes")
    return text if limit is None else text.encode()[:limit].decode(errors="replace")


async def _follow(
    store: Store, logs: LogFolder, request: ApiRequest, source: tuple[Json, str, str]
) -> AsyncIterator[str]:
    pod, container, attempt = source
    stamps = request.flag("timestamps")
    seen = 0
    first = True
    while True:
        current = store.find(PODS, request.namespace, request.name)
        over = current is None or not _is_running(current, container, attempt)
        text = logs.read(uid_of(pod), container, attempt, timestamps=stamps) or ""
        fresh, seen = text[seen:], len(text)
        yield _cut(fresh, request) if first else fresh
        first = False
        if over:
            return
        await asyncio.sleep(FOLLOW_SECONDS)


def _container_name(pod: Json, wanted: str) -> str:
    names = [str(container["name"]) for container in containers_of(pod)]
    if wanted in names:
        return wanted
    if wanted:
        raise bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
    if len(pod["spec"]["containers"]) > 1:
        raise bad_request(
            f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(names)}]"
        )
    return str(pod["spec"]["containers"][0]["name"])


def _attempt(pod: Json, container: str, *, previous: bool) -> str:
    status = _status_of(pod, container)
    last = str(status.get("lastState", {}).get("terminated", {}).get("containerID", ""))
    if previous:
        if not last:
            raise bad_request(
                f'previous terminated container "{container}" in pod "{name_of(pod)}" not found'
            )
        return last
    state = status.get("state", {"waiting": {"reason": "ContainerCreating"}})
    if "waiting" not in state:
        return str(status["containerID"])
    if not last:
        reason = state["waiting"]["reason"]
        raise bad_request(f'container "{container}" in pod "{name_of(pod)}" is waiting to start: {reason}')
    return last


def _is_running(pod: Json, container: str, attempt: str) -> bool:
    status = _status_of(pod, container)
    return status.get("containerID") == attempt and "running" in status.get("state", {})


def _status_of(pod: Json, container: str) -> Json:
    known = pod.get("status", {})
    statuses: list[Json] = [
        *(known.get("initContainerStatuses") or []),
        *(known.get("containerStatuses") or []),
    ]
    return next((status for status in statuses if status["name"] == container), {})
