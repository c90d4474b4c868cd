"""The app's own HTTP functions: route templates, levels, conversion of requests and answers."""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any

from azure.functions.http import HttpRequestConverter, HttpResponseConverter
from azure.functions.meta import Datum
from starlette.requests import Request
from starlette.responses import Response

from local.host.http import answers
from local.host.http.keys import Keys
from local.host.indexing import App, Function, HttpBinding, IndexingError, Trigger, http_binding
from local.host.invoking import Invoker

_logger = logging.getLogger(__name__)
_CONSTRAINTS = {
    "int": r"-?\d+",
    "guid": r"[0-9a-fA-F-]{32,36}",
    "alpha": "[A-Za-z]+",
    "bool": "(?i:true|false)",
}
_PARAMETER = re.compile(r"\{(\*?)([A-Za-z_]\w*)(?::(\w+)[^}]*)?(\?)?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    function: Function
    binding: HttpBinding
    path: str
    pattern: re.Pattern[str]


class FunctionRoutes:
    """Finds the function of a request and calls it."""

    def __init__(self, app: App, prefix: str, invoker: Invoker) -> None:
        """Compile the routes; literal segments win over parameters, those over catch-alls."""
        self._invoker = invoker
        self._endpoints = sorted((_endpoint(f, prefix) for f in app.of(Trigger.HTTP)), key=_generality)

    async def answer(self, request: Request, keys: Keys) -> Response:
        """Call the function that a request is for; 404 without one, 401 without its key."""
        for endpoint in self._endpoints:
            match = endpoint.pattern.fullmatch(request.scope["path"])  # in a URL, line ends would be dropped
            if match is None or request.method not in endpoint.binding.methods:
                continue
            if not keys.admit_to_function(request, endpoint.binding.auth_level):
                return answers.empty(401)
            values = {name: value for name, value in match.groupdict().items() if value is not None}
            return await self._call(endpoint.function, request, values)
        return answers.empty(404)

    async def _call(self, function: Function, request: Request, route_values: dict[str, str]) -> Response:
        arguments = {function.trigger_name: await _read(request, route_values)}
        try:
            result = await asyncio.wrap_future(self._invoker.submit(function, arguments))
            return _response(result)
        except Exception:
            _logger.exception("Executed 'Functions.%s' (Failed)", function.name)
            return answers.empty(500)


def compile_route(template: str) -> re.Pattern[str]:
    """Compile an ASP.NET route template.

    >>> compile_route("api/runs/{id:int?}").fullmatch("/API/runs/7")["id"]
    '7'
    """
    pattern = "".join(_segment(segment) for segment in template.strip("/").split("/") if segment)
    return re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)


def _segment(segment: str) -> str:
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        return "/" + re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+?)", re.escape(segment))
    catch_all, name, constraint, optional = match.groups()
    if catch_all:
        return f"(?:/(?P<{name}>.*))?"
    value = f"/(?P<{name}>{_CONSTRAINTS.get(constraint, '[^/]+')})"
    return f"(?:{value})?" if optional else value


def _endpoint(function: Function, prefix: str) -> _Endpoint:
    binding = http_binding(function)
    path = f"{prefix}/{binding.route}" if prefix else binding.route
    try:
        pattern = compile_route(path)
    except re.error as error:
        raise IndexingError(
            f"function {function.name!r} has the route {binding.route!r}, which cannot be read: {error}"
        ) from error
    return _Endpoint(function=function, binding=binding, path=path, pattern=pattern)


def _generality(endpoint: _Endpoint) -> list[tuple[bool, bool]]:
    return [("{*" in segment, "{" in segment) for segment in endpoint.path.strip("/").split("/")]


async def _read(request: Request, route_values: dict[str, str]) -> Any:
    datum = Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(str(request.url), "string"),
            "headers": _strings(dict(request.headers)),
            "query": _strings(dict(request.query_params)),
            "params": _strings(route_values),
            "body": Datum(await request.body(), "bytes"),
        },
        "http",
    )
    return HttpRequestConverter.decode(datum, trigger_metadata={})


def _strings(values: dict[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _response(result: Any) -> Response:
    if result is None:
        return answers.empty(204)
    encoded = HttpResponseConverter.encode(result, expected_type=None)
    if encoded.type == "string":
        return Response(encoded.value, media_type="text/plain")
    parts = encoded.value
    response = Response(parts["body"].value, int(parts["status_code"].value))
    for name, value in parts["headers"].items():
        response.headers[name] = value.value
    for jar in parts["cookies"] or ():
        for cookie in jar.values():
            response.headers.append("set-cookie", cookie.OutputString())
    return response
