"""The Durable management API: the same routes for callers (with keys) and for the SDK's client."""

import asyncio
import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.host.engine.hub import AlreadyExistsError, Hub
from local.host.engine.instances import TERMINAL_STATUSES, InstanceView, Start
from local.host.http import answers
from local.host.http.addresses import Addresses
from local.host.http.presenting import Shown, as_json, history_body, status_body
from local.host.protocol import texts
from local.host.protocol.history import parse_time, translate

_CONTINUATION = "x-ms-continuation-token"
_STATUSES = frozenset({"Pending", "Running", "Suspended", "ContinuedAsNew", "Canceled"}) | TERMINAL_STATUSES
_NO_SUCH_INSTANCE = "InstanceId does not match a valid orchestration instance."
_ALREADY_EXISTS = "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException"
_BAD_ARGUMENT = "System.ArgumentException"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    """What a list or a purge is limited to; an empty status set is no limit."""

    statuses: frozenset[str]
    created_from: datetime | None
    created_to: datetime | None
    prefix: str

    def admits(self, view: InstanceView) -> bool:
        """Tell whether an instance is meant."""
        return (
            (not self.statuses or view.status in self.statuses)
            and (self.created_from is None or view.created_at >= self.created_from)
            and (self.created_to is None or view.created_at <= self.created_to)
            and view.instance_id.startswith(self.prefix)
        )


class Management:
    """Answers for a hub; `commit` returns when what was done is on disk."""

    def __init__(self, hub: Hub, addresses: Addresses, commit: Callable[[], None]) -> None:
        """Serve a hub under its addresses."""
        self._hub = hub
        self._addresses = addresses
        self._commit = commit

    def routes(self, base: str) -> list[Route]:
        """Give the routes below a base path."""
        return [
            Route(f"{base}/orchestrators/{{name}}", self._start, methods=["POST"]),
            Route(f"{base}/orchestrators/{{name}}/{{id}}", self._start, methods=["POST"]),
            Route(f"{base}/instances", self._list, methods=["GET"]),
            Route(f"{base}/instances/", self._list, methods=["GET"]),
            Route(f"{base}/instances", self._purge_many, methods=["DELETE"]),
            Route(f"{base}/instances/", self._purge_many, methods=["DELETE"]),
            Route(f"{base}/instances/{{id}}", self._status, methods=["GET"]),
            Route(f"{base}/instances/{{id}}", self._purge_one, methods=["DELETE"]),
            Route(f"{base}/instances/{{id}}/raiseEvent/{{event}}", self._raise_event, methods=["POST"]),
            Route(f"{base}/instances/{{id}}/{{operation}}", self._operate, methods=["POST"]),
            Route(f"{base}/entities{{rest:path}}", self._entities),
        ]

    async def _start(self, request: Request) -> Response:
        instance_id = request.path_params.get("id") or uuid.uuid4().hex
        body = (await request.body()).decode()
        try:
            payload = body if body.strip() and json.loads(body) is not None else None
        except json.JSONDecodeError as error:
            breaks_off = error.pos >= len(body.rstrip())
            return answers.truncated_json(error) if breaks_off else answers.invalid_json(error)
        start = Start(
            name=request.path_params["name"],
            instance_id=instance_id,
            payload=payload,
            version=request.query_params.get("version"),
        )
        try:
            self._hub.begin(start)
        except AlreadyExistsError as error:
            return answers.refusal(409, texts.already_exists(error.status))
        await self._committed()
        return await self._started(request, instance_id)

    async def _started(self, request: Request, instance_id: str) -> Response:
        waits = _waiting(request.query_params)
        if waits is not None:
            return await self._wait(request, instance_id, *waits)
        return self._links(request, instance_id)

    def _links(self, request: Request, instance_id: str) -> Response:
        links = self._addresses.links(instance_id, f"{request.url.scheme}://{request.url.netloc}")
        # The HTTP API does not offer to rewind; the SDK's own answer does.
        del links["rewindPostUri"]
        return answers.json_answer(links, 202, {"location": links["statusQueryGetUri"], "retry-after": "10"})

    async def _wait(self, request: Request, instance_id: str, limit: float, interval: float) -> Response:
        if interval > limit:
            return answers.refusal(
                400, f"Total timeout {limit:g} should be bigger than retry timeout {interval:g}"
            )
        deadline = asyncio.get_running_loop().time() + limit
        while (view := self._hub.view(instance_id)) is not None and not view.is_over:
            if asyncio.get_running_loop().time() + interval > deadline:
                return self._links(request, instance_id)
            await asyncio.sleep(interval)
        if view is None:
            return answers.empty(404)
        body = as_json(view.output) if view.status == "Completed" else status_body(view, show_input=True)
        return answers.json_answer(body)

    async def _status(self, request: Request) -> Response:
        query = request.query_params
        view = self._find(request)
        if view is None:
            return answers.empty(404)
        show_input = _flag(query, "showInput", default=True)
        body = status_body(view, show_input=show_input)
        if _flag(query, "showHistory") and view.status != "Pending":
            events, identity = self._hub.history(view.instance_id)
            shown = Shown(input=show_input, output=_flag(query, "showHistoryOutput"))
            body["historyEvents"] = history_body(translate(events, identity, played=True), shown)
        if not view.is_over:
            return answers.json_answer(body, 202, {"location": _as_received(request), "retry-after": "5"})
        hides_failure = not _flag(query, "returnInternalServerErrorOnFailure")
        return answers.json_answer(body, 200 if hides_failure or view.status != "Failed" else 500)

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        after = _decode_token(request.headers.get(_CONTINUATION, ""))
        views = [view for view in self._hub.views() if _filter(query).admits(view)]
        if after is None:
            return answers.json_answer([], headers={_CONTINUATION: ""})
        rest = [view for view in views if view.instance_id >= after]
        top = int(query["top"]) if query.get("top", "").isdigit() else len(rest)
        page, left = rest[:top], rest[top:]
        token = base64.b64encode(left[0].instance_id.encode()).decode() if left else ""
        show_input = _flag(query, "showInput", default=True)
        body = [status_body(view, show_input=show_input) for view in page]
        return answers.json_answer(body, headers={_CONTINUATION: token})

    async def _purge_one(self, request: Request) -> Response:
        view = self._find(request)
        if view is None:
            return answers.empty(404)
        if not view.is_over:
            return answers.json_answer(
                "Only orchestrations in a terminal state can be purged, but the orchestration with "
                f"instance ID {view.instance_id} has status {view.status}",
                412,
            )
        self._hub.purge(view.instance_id)
        await self._committed()
        return answers.json_answer({"instancesDeleted": 1})

    async def _purge_many(self, request: Request) -> Response:
        query = request.query_params
        wanted = _filter(query)
        if wanted.created_from is None:
            return answers.json_answer("Please provide value for 'createdTimeFrom' parameter.", 400)
        # The real trap, kept: a filter without a terminal status is no filter, and purges all.
        purged = _Filter(
            statuses=wanted.statuses & TERMINAL_STATUSES,
            created_from=wanted.created_from,
            created_to=wanted.created_to,
            prefix="",
        )
        meant = [view.instance_id for view in self._hub.views() if purged.admits(view)]
        for instance_id in meant:
            self._hub.purge(instance_id)
        await self._committed()
        return answers.json_answer({"instancesDeleted": len(meant)}) if meant else answers.empty(404)

    async def _raise_event(self, request: Request) -> Response:
        view = self._find(request)
        if view is None or view.is_over:
            return answers.empty(404 if view is None else 410)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            return answers.refusal(400, "Only application/json request content is supported")
        try:
            payload = texts.compact(json.loads(await request.body()))
        except json.JSONDecodeError as error:
            return answers.invalid_json(error)
        self._hub.raise_event(view.instance_id, request.path_params["event"], payload)
        await self._committed()
        return answers.empty(202)

    async def _operate(self, request: Request) -> Response:
        view = self._find(request)
        match request.path_params["operation"].lower():
            case "restart":
                return await self._restart(request, view)
            case "rewind":
                return _rewind(request, view)
            case "terminate" | "suspend" | "resume" as operation:
                return await self._control(request, view, operation)
            case _:
                return answers.empty(404)

    async def _control(self, request: Request, view: InstanceView | None, operation: str) -> Response:
        if view is None or view.is_over:
            return answers.empty(404 if view is None else 410)
        if (operation == "suspend") == (view.status == "Suspended") and operation != "terminate":
            return answers.invalid_operation(
                f"Cannot {operation} the orchestration instance {view.instance_id} because instance is "
                f"in the {view.status} state."
            )
        act = {"terminate": self._hub.terminate, "suspend": self._hub.suspend, "resume": self._hub.resume}
        act[operation](view.instance_id, request.query_params.get("reason"))
        await self._committed()
        return answers.empty(202)

    async def _restart(self, request: Request, view: InstanceView | None) -> Response:
        if view is None:
            text = f"No instance with ID '{request.path_params['id']}' was found. (Parameter 'instanceId')"
            return answers.exception(400, _NO_SUCH_INSTANCE, text, _BAD_ARGUMENT)
        is_new = _flag(request.query_params, "restartWithNewInstanceId", default=True)
        start = Start(
            name=view.name,
            instance_id=uuid.uuid4().hex if is_new else view.instance_id,
            payload=view.input,
            source_instance_id=view.instance_id,
        )
        try:
            self._hub.begin(start)
        except AlreadyExistsError as error:
            message = "A non-terminal instance with this instance ID already exists."
            text = texts.already_exists(error.status)
            return answers.exception(409, message, text, _ALREADY_EXISTS)
        await self._committed()
        return self._links(request, start.instance_id)

    async def _entities(self, _request: Request) -> Response:
        return answers.refusal(501, "Entities are not served by the local host.")

    def _find(self, request: Request) -> InstanceView | None:
        hub_name = request.query_params.get("taskHub", self._addresses.hub_name)
        if hub_name.lower() != self._addresses.hub_name.lower():
            return None
        return self._hub.view(request.path_params["id"])

    async def _committed(self) -> None:
        await run_in_threadpool(self._commit)


def _as_received(request: Request) -> str:
    path, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
    return f"{request.url.scheme}://{request.url.netloc}{path}{'?' if query else ''}{query}"


def _rewind(request: Request, view: InstanceView | None) -> Response:
    if view is None:
        text = f'No orchestration with instance ID "${request.path_params["id"]}" found.'
        return answers.json_answer(text, 404)
    if view.status != "Failed":
        text = (
            f"This orchestration has status {view.status}, but only orchestrations in the "
            '"Failed" state can be rewound.'
        )
        return answers.json_answer(text, 412)
    return answers.refusal(501, "Rewinding is not served by the local host; restart the instance.")


def _filter(query: QueryParams) -> _Filter:
    named = {name for value in query.getlist("runtimeStatus") for name in value.split(",")}
    return _Filter(
        statuses=frozenset(named) & _STATUSES,
        created_from=_moment(query, "createdTimeFrom"),
        created_to=_moment(query, "createdTimeTo"),
        prefix=query.get("instanceIdPrefix", ""),
    )


def _flag(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = query.get(name, "").lower()
    return value == "true" if value in {"true", "false"} else default


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    try:
        return parse_time(query.get(name, ""))
    except ValueError:
        return None


def _waiting(query: Mapping[str, str]) -> tuple[float, float] | None:
    try:
        return float(query["timeout"]), float(query["pollingInterval"])
    except (KeyError, ValueError):
        return None


def _decode_token(token: str) -> str | None:
    """Read a continuation token: where the next page begins; None for garbage."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
