"""The Kubernetes API over HTTP: who asks, what for, and the answer's form. Rules and state live below."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import yaml
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from local.cluster import (
    admitting,
    discovery,
    known_fields,
    openapi,
    podlogs,
    protobuf,
    tables,
    watching,
    webhooks,
    writing,
)
from local.cluster.access import Tokens, check_allowed, user_of
from local.cluster.applying import APPLY_TYPE, Applier
from local.cluster.deleting import PROPAGATIONS, DeleteOptions, delete
from local.cluster.failures import ApiError, bad_request, internal_error, unsupported_media_type
from local.cluster.faults import Faults, LostReply, suffer
from local.cluster.paging import Pages
from local.cluster.patching import json_patch, merge_patch, strategic_patch
from local.cluster.requests import ApiRequest, parse_request
from local.cluster.selectors import Selection, parse_selection
from local.cluster.writing import Place

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from local.cluster.nodes.logs import LogFolder
    from local.cluster.objects import Json
    from local.cluster.store import Store

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

logger = logging.getLogger(__name__)

PATCHES: dict[str, Callable[[Json, Any], Json]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_patch,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the handlers need."""

    store: Store
    tokens: Tokens
    logs: LogFolder
    stopping: asyncio.Event
    faults: Faults = field(default_factory=Faults)
    pages: Pages = field(default_factory=Pages)


def api_routes(api: Api) -> list[Route]:
    """The routes of the API server."""

    async def answer(request: Request) -> Response:
        try:
            return await _answer(api, request)
        except ApiError as error:
            return JSONResponse(error.body, error.code, headers=_retry_headers(error))
        except Exception:
            # As the real server: one request fails, aloud, and the others go on.
            logger.exception("%s %s failed for a reason of ours", request.method, request.url.path)
            return JSONResponse(internal_error().body, HTTPStatus.INTERNAL_SERVER_ERROR)

    return [
        *(Route(path, _healthy, methods=["GET"]) for path in ("/healthz", "/readyz", "/livez")),
        Route("/{path:path}", answer, methods=METHODS),
    ]


def make_app(api: Api, control: Sequence[Route]) -> Starlette:
    """The ASGI application; the control's routes come first."""
    return Starlette(routes=[*control, *api_routes(api)])


def _retry_headers(error: ApiError) -> dict[str, str]:
    return {"Retry-After": "1"} if error.code == HTTPStatus.TOO_MANY_REQUESTS else {}


async def _healthy(request: Request) -> Response:
    del request
    return PlainTextResponse("ok")


async def _answer(api: Api, http: Request) -> Response:
    user = user_of(api.tokens, http.headers.get("authorization", ""))
    path = http.url.path
    if http.method == "GET" and (document := discovery.answer(path) or openapi.document(path)):
        return JSONResponse(document)
    request = parse_request(http.method, path, dict(http.query_params))
    check_allowed(user, request)
    fault = api.faults.pick(request)
    if fault is None:
        return await _serve(api, http, request)
    await suffer(fault)
    response = await _serve(api, http, request)
    return LostReply() if fault.effect == "lost_reply" else response


async def _serve(api: Api, http: Request, request: ApiRequest) -> Response:
    if request.subresource == "log":
        return await podlogs.answer(api.store, api.logs, request)
    if request.verb in {"get", "list", "watch"}:
        return _read(api, request, http.headers.get("accept", ""))
    media_type = http.headers.get("content-type", "")
    read = protobuf.decode if media_type.startswith(protobuf.MEDIA_TYPE) else _parse_body
    body = read(await http.body())
    if request.verb in {"delete", "deletecollection"}:
        return JSONResponse(_delete(api, request, body or {}))
    if request.verb == "create":
        body = await webhooks.mutated(api.store, _place(request), body)
    written = _write(api, request, media_type, body)
    response = JSONResponse(written.item, written.code)
    for warning in (*written.warnings, *admitting.warnings(api.store, request.kind, written.item)):
        response.headers.append("Warning", f"299 - {json.dumps(warning, ensure_ascii=False)}")
    return response


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    item: Json
    code: int = HTTPStatus.OK
    warnings: tuple[str, ...] = ()


def _write(api: Api, request: ApiRequest, content_type: str, body: Any) -> _Written:
    if request.verb == "patch":
        return _patch(api, request, content_type, body)
    known, warnings = known_fields.known(request, body)
    if request.verb == "create":
        item = writing.create(api.store, _place(request), known)
        return _Written(item=item, code=HTTPStatus.CREATED, warnings=warnings)
    return _Written(item=writing.replace(api.store, _place(request), known), warnings=warnings)


def _read(api: Api, request: ApiRequest, accept: str) -> Response:
    include = request.query.get("includeObject", "Metadata")
    as_table = "as=Table" in accept
    if request.verb == "get":
        item = api.store.get(request.kind, request.namespace, request.name)
        return JSONResponse(tables.table_of_one(request.kind, item, include) if as_table else item)
    selection = _selection(request)
    if request.verb == "watch":

        def show(item: Json) -> Json:
            return tables.table_of_one(request.kind, item, include) if as_table else item

        watch = watching.Watch(request=request, selection=selection, show=show)
        lines = watching.stream(api.store, watch, api.stopping)
        return StreamingResponse(lines, media_type="application/json")
    return JSONResponse(_list(api, request, selection, include if as_table else None))


def _list(api: Api, request: ApiRequest, selection: Selection, table_include: str | None) -> Json:
    limit = request.number("limit") or 0
    if token := request.query.get("continue"):
        page = api.pages.next(token, limit)
    else:
        found = [item for item in api.store.list(request.kind, request.namespace) if selection.holds(item)]
        page = api.pages.first(found, api.store.version, limit)
    metadata = page.metadata
    if not selection.takes_all:
        metadata.pop("remainingItemCount", None)  # a real server would have to read on to know
    if table_include is not None:
        return tables.table(request.kind, page.items, metadata, table_include)
    bare = [
        {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        for item in page.items
    ]
    identity = {"kind": f"{request.kind.kind}List", "apiVersion": request.kind.api_version}
    return {**identity, "metadata": metadata, "items": bare}


def _patch(api: Api, request: ApiRequest, content_type: str, body: Any) -> _Written:
    media_type = content_type.partition(";")[0].strip()
    place = _place(request)
    if media_type == APPLY_TYPE:
        known_fields.check_applied(request, body)
        applier = Applier(manager=request.query.get("fieldManager", ""), force=request.flag("force"))
        applied, created = writing.apply(api.store, place, body, applier)
        return _Written(item=applied, code=HTTPStatus.CREATED if created else HTTPStatus.OK)
    patch = PATCHES.get(media_type)
    if patch is None:
        raise unsupported_media_type([*PATCHES, APPLY_TYPE])
    before = api.store.get(request.kind, request.namespace, request.name)
    known, warnings = known_fields.known(request, patch(before, body))
    return _Written(item=writing.replace(api.store, place, known), warnings=warnings)


def _delete(api: Api, request: ApiRequest, body: Json) -> Json:
    options = _delete_options(request, body)
    if request.verb == "delete":
        item = api.store.get(request.kind, request.namespace, request.name)
        return delete(api.store, request.kind, item, options)
    selection = _selection(request)
    for item in api.store.list(request.kind, request.namespace):
        if selection.holds(item):
            delete(api.store, request.kind, item, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _delete_options(request: ApiRequest, body: Json) -> DeleteOptions:
    propagation = body.get("propagationPolicy") or request.query.get("propagationPolicy") or "Background"
    if propagation not in PROPAGATIONS:
        raise bad_request(
            f'invalid propagationPolicy "{propagation}": it is Background, Foreground or Orphan'
        )
    grace = body.get("gracePeriodSeconds")
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        propagation=PROPAGATIONS[propagation],
        grace_seconds=request.number("gracePeriodSeconds") if grace is None else int(grace),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=request.dry_run or body.get("dryRun") == ["All"],
    )


def _selection(request: ApiRequest) -> Selection:
    labels, fields = (request.query.get(f"{each}Selector", "") for each in ("label", "field"))
    return parse_selection(request.kind, labels, fields)


def _place(request: ApiRequest) -> Place:
    return Place(
        kind=request.kind,
        namespace=request.namespace,
        name=request.name,
        subresource=request.subresource,
        dry_run=request.dry_run,
    )


def _parse_body(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError:
        pass
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise bad_request(f"the body of the request is neither JSON nor YAML: {error}") from error
