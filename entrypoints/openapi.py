"""The API's description, OpenAPI 3.1: fields from the rules that the parsers obey, routes from one table.

A test keeps the table equal to the doors that are registered, and real answers to the schemas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import azure.durable_functions as df
import azure.functions as func

from entrypoints.answering import Answer
from entrypoints.binding import bind_door
from entrypoints.watching import MAX_NODES, MAX_PAGE
from shared.domain.model import OnFailure
from shared.domain.requests import DATABASE_PATTERN, MAX_DATABASES, MAX_MBPS, RULES

Json = dict[str, object]

_ID = "instance_id"
_CLUSTER_FIELDS = ("subscription_id", "resource_group", "aks_cluster_name")
_OPTIONAL = ("storage_resource_group", "acr_name", "acr_resource_group")
_MOST = {"top": MAX_PAGE, "continuation": MAX_NODES}
_ALWAYS = {401: "sign in", 403: "not allowed", 503: "try again in a moment"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One door, as callers see it; `function` is the name it is registered under."""

    method: str
    path: str
    function: str
    summary: str
    answers: Mapping[int, str]  # status to the name of a schema
    refuses: tuple[int, ...] = (400,)
    query: tuple[str, ...] = ()
    body: str | None = None
    open: bool = False  # whether it asks for no token


ROUTES = (
    Route(
        method="post",
        path="/warmup/start",
        function="start_warmup",
        summary="Warm databases onto a cluster; names the run, a new one or the one that does it already",
        body="Start",
        answers={202: "Queued"},
        refuses=(400, 409, 413),
    ),
    Route(
        method="post",
        path="/warmup/release",
        function="release_database",
        summary="Take databases off the nodes, staged or not; names the run that does it",
        body="Release",
        answers={202: "Releasing"},
        refuses=(400, 404, 409, 413),
    ),
    Route(
        method="post",
        path="/warmup/{id}/cancel",
        function="cancel_warmup",
        summary="Ask a run to end, which it does at its next step or look; 200 when it is over",
        answers={202: "Cancelled", 200: "Cancelled"},
        refuses=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/warmup/{id}/status",
        function="read_warmup_status",
        summary="How a run stands",
        answers={200: "Status"},
        refuses=(400, 404),
    ),
    Route(
        method="get",
        path="/tasks/{id}",
        function="read_task",
        summary="How a run stands, by Durable's polling protocol",
        answers={202: "Task", 200: "Task"},
        refuses=(400, 404),
    ),
    Route(
        method="get",
        path="/warmup/{id}/nodes",
        function="list_warmup_nodes",
        summary="How each node stands, page by page",
        query=("top", "continuation"),
        answers={200: "Nodes"},
        refuses=(400, 404),
    ),
    Route(
        method="get",
        path="/warmup/active",
        function="list_active_warmups",
        summary="Every run in flight, whoever started it",
        answers={200: "Active"},
        refuses=(),
    ),
    Route(
        method="get",
        path="/monitor/aks/warmup-status",
        function="read_cluster_warmth",
        summary="How warm a cluster is",
        query=("subscription_id", "resource_group", "cluster_name"),
        answers={200: "Card"},
        refuses=(400, 404),
    ),
    Route(
        method="get",
        path="/blast/databases",
        function="list_databases",
        summary="Which databases are staged in an account",
        query=("subscription_id", "storage_account", "storage_resource_group"),
        answers={200: "Databases"},
        refuses=(400, 404, 409),
    ),
    Route(
        method="get",
        path="/health",
        function="read_health",
        summary="Whether the app lives",
        answers={200: "Health"},
        refuses=(),
        open=True,
    ),
    Route(
        method="get",
        path="/openapi.json",
        function="read_openapi",
        summary="This description",
        answers={200: "Description"},
        refuses=(),
        open=True,
    ),
)

_QUEUED = dict.fromkeys(("instance_id", "id", "task_id", "db", "status", "statusQueryGetUri"), "string")
# What an answer always holds; more may come in any release.
_ANSWERS: Mapping[str, Mapping[str, str]] = {
    "Error": {"error": "string"},
    "Queued": _QUEUED,
    "Releasing": {**_QUEUED, "deleted": "array", "errors": "array"},
    "Cancelled": {"instance_id": "string", "status": "string"},
    "Status": {
        "instance_id": "string",
        "runtime_status": "string",
        "custom_status": "object?",
        "output": "object?",
    },
    "Task": {
        "name": "string",
        "instanceId": "string",
        "runtimeStatus": "string",
        "input": "null",
        "customStatus": "object?",
        "output": "object?",
        "createdTime": "string",
        "lastUpdatedTime": "string",
    },
    "Nodes": {"instance_id": "string", "total": "integer", "nodes": "array", "continuation": "string?"},
    "Active": {"active": "boolean", "instance_id": "string?", "warmup": "object?", "warmups": "array"},
    "Card": {
        "warm": "boolean",
        "workspace_ready": "integer",
        "workspace_desired": "integer",
        "databases": "array",
        "vmtouch_ready": "integer",
        "namespaces": "array",
        "degraded": "boolean",
    },
    "Databases": {"databases": "array"},
    "Health": {"status": "string"},
    "Description": {"openapi": "string", "info": "object", "paths": "object"},
}


def openapi_doors() -> df.Blueprint:
    """Register the one door."""
    doors = df.Blueprint()
    bind_door(doors, "GET openapi.json", read_openapi, None)
    return doors


async def read_openapi(_: func.HttpRequest, __: None) -> Answer:
    """Tell what all doors take and answer."""
    return Answer(body=description())


def description() -> Json:
    """The whole document."""
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "elastic-blast warm-up", "version": "1.0.0"},
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": {name: _answer_schema(fields) for name, fields in _ANSWERS.items()}
            | {"Start": _start(), "Release": _release()},
            "securitySchemes": {"entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": route.function,
        "summary": route.summary,
        "security": [] if route.open else [{"entra": []}],
        "responses": _responses(route),
    }
    parameters = [_in_path(_ID)] if "{id}" in route.path else []
    parameters += [_in_query(name) for name in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    return operation


def _responses(route: Route) -> Json:
    told: Json = {
        str(status): {"description": schema, "content": _json(schema)}
        for status, schema in route.answers.items()
    }
    refused = dict.fromkeys(route.refuses, "what was wrong, and what to do") | ({} if route.open else _ALWAYS)
    return told | {
        str(status): {"description": meaning, "content": _json("Error")}
        for status, meaning in refused.items()
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _in_path(rule: str) -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": _text(rule)}


def _in_query(name: str) -> Json:
    if name not in RULES:
        whole = {"type": "integer", "minimum": 0, "maximum": _MOST[name]}
        return {"name": name, "in": "query", "required": False, "schema": whole}
    optional = name in _OPTIONAL
    schema = _or_empty(name) if optional else _text(name)
    return {"name": name, "in": "query", "required": not optional, "schema": schema}


def _text(rule: str) -> Json:
    return {"type": "string", "pattern": f"^(?:{RULES[rule].pattern})$", "description": RULES[rule].words}


def _or_empty(rule: str) -> Json:
    return {**_text(rule), "pattern": f"^(?:{RULES[rule].pattern})?$"}


def _or_nothing(rule: str) -> Json:
    """A field that may as well be null, or empty, as pages send what they do not know."""
    return {**_or_empty(rule), "type": ["string", "null"]}


def _start() -> Json:
    """The body of a start."""
    more: Json = {
        "storage_resource_group": _or_nothing("storage_resource_group"),
        "max_mbps_per_node": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_MBPS},
        "on_failure": {"enum": [*(choice.value for choice in OnFailure), "", None]},
    }
    return _wish((*_CLUSTER_FIELDS, "storage_account"), ("verify_only", "dry_run", "allow_partial"), more)


def _release() -> Json:
    """The body of a release."""
    return _wish(_CLUSTER_FIELDS, ("dry_run", "allow_partial"), {})


def _wish(required: Sequence[str], flags: Sequence[str], more: Json) -> Json:
    """Databases and a cluster; `db` counts where `databases` names none, other fields are ignored."""
    flagged = {name: {"type": ["boolean", "null"]} for name in flags}
    named = {name: _text(name) for name in required}
    registry = {name: _or_nothing(name) for name in ("acr_name", "acr_resource_group")}
    return {
        "type": "object",
        "required": [*required],
        "anyOf": [
            {"required": ["databases"], "properties": {"databases": _databases()}},
            {"required": ["db"], "properties": {"db": _databases(), "databases": {"enum": ["", [], None]}}},
        ],
        "properties": {**named, **registry, **flagged, **more},
    }


def _databases() -> Json:
    """One or several."""
    several = {"type": "array", "items": _database(), "minItems": 1, "maxItems": MAX_DATABASES}
    return {"anyOf": [_database(), several]}


def _database() -> Json:
    return {
        "type": "string",
        "pattern": f"^(?:{DATABASE_PATTERN})$",
        "description": "a name or its path, as core_nt or blast-db/core_nt; never a URL",
    }


def _answer_schema(fields: Mapping[str, str]) -> Json:
    return {
        "type": "object",
        "required": list(fields),
        "properties": {name: {"type": _types(kind)} for name, kind in fields.items()},
    }


def _types(kind: str) -> object:
    return [kind.removesuffix("?"), "null"] if kind.endswith("?") else kind
