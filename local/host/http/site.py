"""The host's two listeners as ASGI apps: the public one, and the SDK's on loopback without keys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.host.faults import FaultError, Faults, parse_faults
from local.host.http import answers
from local.host.http.addresses import PUBLIC_BASE, RPC_BASE
from local.host.http.functions import FunctionRoutes
from local.host.http.keys import Keys
from local.host.http.management import Management
from local.host.indexing import App, Trigger
from local.host.timing import Timing

_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
_ADMIN_BASE = "/admin"


class _Anything(PathConvertor):
    """Starlette's own `path` ends at a line end, and functions are asked for paths that hold one."""

    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that answers on the public listener."""

    app: App
    functions: FunctionRoutes
    management: Management
    timing: Timing
    keys: Keys
    custom_headers: Mapping[str, str]
    faults: Faults | None  # None: nobody may ask for any

    def public(self) -> ASGIApp:
        """Give the app of the public listener."""
        routes = [
            Route("/", self._greet),
            *self.management.routes(PUBLIC_BASE),
            Route(f"{_ADMIN_BASE}/host/status", self._host_status),
            Route(f"{_ADMIN_BASE}/functions", self._list_functions),
            Route(f"{_ADMIN_BASE}/functions/{{name}}", self._run_function, methods=["POST"]),
            *self._fault_routes(),
            Route("/{path:anything}", self._call_function, methods=_METHODS),
        ]
        return _Doorkeeper(Starlette(routes=routes), self.keys, self.custom_headers)

    def rpc(self) -> ASGIApp:
        """Give the app of the SDK's listener."""
        return Starlette(routes=self.management.routes(RPC_BASE))

    async def _greet(self, _request: Request) -> Response:
        return Response("Your Functions app is up and running.", media_type="text/plain")

    async def _host_status(self, _request: Request) -> Response:
        return answers.json_answer({"id": "local", "state": "Running", "version": "4"})

    async def _list_functions(self, _request: Request) -> Response:
        return answers.json_answer(
            [{"name": f.name, "trigger": f.trigger, "language": "python"} for f in self.app.functions]
        )

    async def _run_function(self, request: Request) -> Response:
        function = self.app.find(Trigger.TIMER, request.path_params["name"])
        if function is None:
            return answers.refusal(404, "Only timer functions can be run by name; call others by their URL.")
        await run_in_threadpool(self.timing.run_now, function)
        return answers.empty(202)

    def _fault_routes(self) -> list[Route]:
        faults = self.faults
        if faults is None:
            return []

        async def answer(request: Request) -> Response:
            if request.method == "PUT":
                try:
                    rules, seed = parse_faults(json.loads(await request.body()))
                except (FaultError, json.JSONDecodeError) as error:
                    return answers.refusal(400, str(error))
                faults.put(rules, seed=seed)
            return answers.json_answer(faults.as_json())

        return [Route(f"{_ADMIN_BASE}/faults", answer, methods=["GET", "PUT"])]

    async def _call_function(self, request: Request) -> Response:
        return await self.functions.answer(request, self.keys)


class _Doorkeeper:
    """Asks for the key that a path needs, and adds host.json's custom headers to what leaves without them."""

    def __init__(self, site: ASGIApp, keys: Keys, headers: Mapping[str, str]) -> None:
        self._site = site
        self._keys = keys
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = {name.lower() for name, _ in message["headers"]}
                added = [header for header in self._headers if header[0] not in sent]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        answer = self._site if self._admits(Request(scope)) else answers.empty(401)
        await answer(scope, receive, send_with_headers)

    def _admits(self, request: Request) -> bool:
        path = request.url.path
        if path.startswith(PUBLIC_BASE):
            return self._keys.admit_to_management(request)
        if path.startswith(f"{_ADMIN_BASE}/"):
            return self._keys.admit_to_administration(request)
        return True
