"""The doors through which a run is watched: its status in two shapes, its nodes, all runs in flight."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func

from entrypoints import presenting
from entrypoints.answering import Answer, ShutDoorError
from entrypoints.authorising import Gate
from entrypoints.binding import bind_hub_door
from entrypoints.run_states import RunState
from entrypoints.task_hub import TaskHub
from entrypoints.waiting import Budget, SharedQuestions, SharedReadings
from shared.domain.model import StagedDatabase
from shared.domain.requests import parse_run_id, parse_whole
from shared.domain.runs import ClusterLook, LookOrder, Run
from shared.ports import Clusters, PassingError

RETRY_AFTER = {"Retry-After": "5"}
MAX_REMEMBERED = 500  # runs whose last state is kept for when the task hub is silent
# Two hundred dashboards ask forty times a second; nobody is told anything older than this.
STATUS_GOOD_FOR_SECONDS = 1.0
_LOOK_BUDGET_SECONDS = 10.0
_PAGE = 100
MAX_PAGE = 500
MAX_NODES = 100_000  # databases times nodes; AKS ends at 5,000 nodes


@dataclass(slots=True, kw_only=True)
class LastKnown:
    """The last state of each run that was asked for: a passing fault must not look like a lost run."""

    _states: "OrderedDict[str, RunState]" = field(default_factory=OrderedDict)
    active: tuple[RunState, ...] = ()

    def keep(self, state: RunState) -> None:
        """Remember one, and forget the one that nobody asked for the longest."""
        self._states[state.run_id] = state
        self._states.move_to_end(state.run_id)
        if len(self._states) > MAX_REMEMBERED:
            self._states.popitem(last=False)

    def of(self, run_id: str) -> RunState | None:
        """What was last seen of a run."""
        return self._states.get(run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchingPorts:
    """What watching needs."""

    gate: Gate
    clusters: Clusters
    clock: Callable[[], datetime]
    last_known: LastKnown = field(default_factory=LastKnown)
    finding: SharedQuestions[str, RunState | None] = field(
        default_factory=lambda: SharedQuestions(STATUS_GOOD_FOR_SECONDS)
    )
    looks: SharedReadings[str, ClusterLook] = field(
        default_factory=lambda: SharedReadings("the cluster", Budget(seconds=_LOOK_BUDGET_SECONDS))
    )


def watching_doors(ports: WatchingPorts) -> df.Blueprint:
    """Register them."""
    doors = df.Blueprint()
    bind_hub_door(doors, "GET warmup/{id}/status", read_warmup_status, ports)
    bind_hub_door(doors, "GET tasks/{id}", read_task, ports)
    bind_hub_door(doors, "GET warmup/active", list_active_warmups, ports)
    bind_hub_door(doors, "GET warmup/{id}/nodes", list_warmup_nodes, ports)
    return doors


async def read_warmup_status(req: func.HttpRequest, hub: TaskHub, ports: WatchingPorts) -> Answer:
    """Tell how a run stands."""
    state, stale = await _state(req, hub, ports)
    return Answer(body=presenting.status_of(state) | stale)


async def read_task(req: func.HttpRequest, hub: TaskHub, ports: WatchingPorts) -> Answer:
    """Tell how a run stands by Durable's polling protocol: 202 while it runs, 200 when it is over."""
    state, stale = await _state(req, hub, ports)
    body = presenting.task_of(state) | stale
    if not state.live:
        return Answer(body=body)
    headers = {"Location": presenting.task_path(state.run_id), **RETRY_AFTER}
    return Answer(status=202, body=body, headers=headers)


async def list_active_warmups(req: func.HttpRequest, hub: TaskHub, ports: WatchingPorts) -> Answer:
    """Tell which runs are in flight; never 500: a silent task hub is told beside what was last known."""
    await ports.gate.reader(req)
    try:
        ports.last_known.active = await hub.live()
    except PassingError as silent:
        told = presenting.active_of(ports.last_known.active)
        return Answer(body=told | {"degraded": True, "error": str(silent)})
    return Answer(body=presenting.active_of(ports.last_known.active))


async def list_warmup_nodes(req: func.HttpRequest, hub: TaskHub, ports: WatchingPorts) -> Answer:
    """Tell how each node stands, page by page."""
    await ports.gate.reader(req)
    run_id = parse_run_id(req.route_params.get("id"))
    top = parse_whole(req.params, "top", _PAGE, MAX_PAGE)
    start = parse_whole(req.params, "continuation", 0, MAX_NODES)
    state = await hub.find(run_id, with_input=True)
    if state is None or state.run is None:
        raise _unknown(run_id)
    ports.gate.admit_cluster(state.run.request.cluster)
    order = _order(state, state.run, ports.clock())
    look = await ports.looks.get(run_id, lambda: ports.clusters.look(order))
    rows = [presenting.node_of(seen, node) for seen in look.databases for node in seen.states]
    more = start + top < len(rows)
    return Answer(
        body={
            "instance_id": run_id,
            "total": len(rows),
            "nodes": rows[start : start + top],
            "continuation": str(start + top) if more and top else None,
        }
    )


async def _state(
    req: func.HttpRequest, hub: TaskHub, ports: WatchingPorts
) -> tuple[RunState, presenting.Json]:
    """How a run stands, and what is to be said beside it: that a silent hub may know better by now."""
    await ports.gate.reader(req)
    run_id = parse_run_id(req.route_params.get("id"))
    try:
        state = await ports.finding.ask(run_id, lambda: _found(run_id, hub))
    except PassingError as silent:
        state = ports.last_known.of(run_id)
        if state is None:
            raise
        return state, {"degraded": True, "degraded_reason": f"last known, since {silent}"}
    if state is None:
        raise _unknown(run_id)
    ports.last_known.keep(state)
    return state, {}


async def _found(run_id: str, hub: TaskHub) -> RunState | None:
    state = await hub.find(run_id)
    if state is None or not state.ended_from_outside:
        return state
    try:  # Durable forgets the status that named the databases
        return await hub.find(run_id, with_input=True) or state
    except PassingError:
        return state


def _order(state: RunState, run: Run, now: datetime) -> LookOrder:
    """Look as the run itself does; before it has planned, nothing but the names is known."""
    staged = run.watching.plan.databases if run.watching else ()
    return LookOrder(
        cluster=run.request.cluster,
        databases=staged or tuple(map(StagedDatabase.by_name, run.request.databases)),
        run_id=state.run_id,
        applied_at=run.started_at or state.created_at,
        now=now,
    )


def _unknown(run_id: str) -> ShutDoorError:
    return ShutDoorError(404, f"there is no warm-up {run_id}; it may be older than the app keeps runs")
