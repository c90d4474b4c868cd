"""The doors that change something: start, cancel, release."""

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func

from entrypoints import presenting
from entrypoints.answering import Answer, ShutDoorError, read_body, refused
from entrypoints.authorising import Gate
from entrypoints.binding import bind_hub_door
from entrypoints.claiming import Bid
from entrypoints.starting import start_run
from entrypoints.task_hub import TaskHub
from entrypoints.waiting import eventually, within
from shared.domain import naming
from shared.domain.claims import Conflict, HeldBy
from shared.domain.events import Change, Event, line_of
from shared.domain.model import Cluster, Database, WarmupRequest
from shared.domain.refusals import Refusal
from shared.domain.requests import (
    RequestDefaults,
    parse_cluster,
    parse_databases,
    parse_registry,
    parse_release,
    parse_request,
    parse_run_id,
)
from shared.domain.status import database_names
from shared.domain.warmth import daemon_set_of, image_of
from shared.ports import Claims, Monitor, PassingError
from shared.wire import encode

RETRY_AFTER = {"Retry-After": "5"}
_MAX_NONCE = 256
_CLUSTER_BUDGET_SECONDS = 10.0
_logger = logging.getLogger("warmup.doors")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupPorts:
    """What starting, cancelling and releasing need."""

    gate: Gate
    claims: Claims
    monitor: Monitor
    defaults: RequestDefaults
    clock: Callable[[], datetime]


def warmup_doors(ports: WarmupPorts) -> df.Blueprint:
    """Register them."""
    doors = df.Blueprint()
    bind_hub_door(doors, "POST warmup/start", start_warmup, ports)
    bind_hub_door(doors, "POST warmup/{id}/cancel", cancel_warmup, ports)
    bind_hub_door(doors, "POST warmup/release", release_database, ports)
    return doors


async def start_warmup(req: func.HttpRequest, hub: TaskHub, ports: WarmupPorts) -> Answer:
    """Warm databases onto a cluster; 202 names the run, a new one or the one that does it already."""
    caller = await ports.gate.operator(req)
    request = parse_request(read_body(req), defaults=ports.defaults, requested_by=caller.object_id)
    return await _begin(request, _nonce(req), hub, ports)


async def cancel_warmup(req: func.HttpRequest, hub: TaskHub, ports: WarmupPorts) -> Answer:
    """Ask a run to end, which it does at its next step or look: 202. One that is over is left alone: 200."""
    caller = await ports.gate.operator(req)
    run_id = parse_run_id(req.route_params.get("id"))
    state = await hub.find(run_id, with_input=True)
    if state is None or state.run is None:
        raise ShutDoorError(404, f"there is no warm-up {run_id}")
    request = state.run.request
    ports.gate.admit_cluster(request.cluster)
    if not state.live:
        return Answer(body={"instance_id": run_id, "status": "over", "runtime_status": state.runtime_status})
    marked = await within(
        _CLUSTER_BUDGET_SECONDS,
        "the store of claims",
        lambda: [
            ports.claims.cancel(request.cluster, database, run_id, caller.object_id)
            for database in request.databases
        ],
    )
    if not any(marked):
        raise ShutDoorError(409, f"run {run_id} holds nothing that could be given up; it ends by itself")
    _logger.info(line_of(_cancelled(run_id, request, caller.object_id)))
    return Answer(status=202, body={"instance_id": run_id, "status": "cancelling"}, headers=RETRY_AFTER)


async def release_database(req: func.HttpRequest, hub: TaskHub, ports: WarmupPorts) -> Answer:
    """Take a database off the nodes: a run whose agents remove its files, since nobody else can; 202."""
    caller = await ports.gate.operator(req)
    body = read_body(req)
    databases, cluster = parse_databases(body), parse_cluster(body)
    ports.gate.admit_cluster(cluster)
    image = None if parse_registry(body) else await _image_there(cluster, databases, ports.monitor)
    defaults = replace(ports.defaults, image=image) if image else ports.defaults
    request = parse_release(body, defaults=defaults, requested_by=caller.object_id)
    answer = await _begin(request, _nonce(req), hub, ports)
    # Newer pages count these; what became of each node is in the run that is named.
    return replace(answer, body={**answer.body, "deleted": [], "errors": []})


async def _begin(request: WarmupRequest, nonce: str, hub: TaskHub, ports: WarmupPorts) -> Answer:
    ports.gate.admit_cluster(request.cluster)
    if request.reads_blobs:
        ports.gate.admit_account(request.account_name)
    ports.gate.admit_image(request.image)
    run_id = naming.instance_id(_asked(request), nonce)
    if await hub.find(run_id) is not None:
        return _queued(run_id, request)  # the same question asked again
    verdict = await start_run(Bid(run_id=run_id, request=request, now=ports.clock()), ports.claims, hub)
    if isinstance(verdict, Conflict):
        raise ShutDoorError(409, verdict.message)
    if isinstance(verdict, HeldBy):
        return await _already_running(verdict.run_id, request, hub)
    return _queued(run_id, request)


async def _already_running(run_id: str, request: WarmupRequest, hub: TaskHub) -> Answer:
    """Name the winner, but not before it can be polled: older pages forget a run that answers 404."""
    if not await eventually(lambda: hub.find(run_id)):
        raise PassingError(f"run {run_id} holds these databases and has not begun")
    return _queued(run_id, request, already_running=True)


def _cancelled(run_id: str, request: WarmupRequest, by: str) -> Event:
    return Event(
        event=Change.CANCEL_ASKED,
        instance_id=run_id,
        cluster=request.cluster.name,
        database=database_names(request),
        by=by,
    )


async def _image_there(cluster: Cluster, databases: Sequence[Database], monitor: Monitor) -> str | None:
    """The image that the nodes run for one of these already: they can surely have it."""
    sight = await within(_CLUSTER_BUDGET_SECONDS, f"cluster {cluster.name!r}", lambda: monitor.sight(cluster))
    if isinstance(sight, Refusal):
        raise refused(sight)
    if sight.lacks("daemon sets"):
        raise PassingError(f"cluster {cluster.name!r} does not show its DaemonSets: {sight.faults[0]}")
    found = (daemon_set_of(sight, database.name) for database in databases)
    return next((image for image in map(image_of, filter(None, found)) if image), None)


def _asked(request: WarmupRequest) -> str:
    """Everything that was asked: a dry run and the start after it may come under one id of the client's."""
    return json.dumps(encode(replace(request, requested_by="")), sort_keys=True)


def _nonce(req: func.HttpRequest) -> str:
    """The dashboard repeats a start under one id; without an id every start is a new question."""
    return req.headers.get("x-client-request-id", "")[:_MAX_NONCE] or uuid.uuid4().hex


def _queued(run_id: str, request: WarmupRequest, *, already_running: bool = False) -> Answer:
    return Answer(
        status=202,
        body=presenting.queued(run_id, request, already_running=already_running),
        headers={"Location": presenting.task_path(run_id), **RETRY_AFTER},
    )
