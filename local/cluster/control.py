"""The control: what happens to a real cluster by fate or by its operator, on demand.

Off unless asked for (`--control`), under `/control/` of the API server, with a token of its own (`control` in
`ROOT/cluster/tokens.json`). Bodies and answers are JSON; a refusal is a `Status`, as everywhere.

    GET    /control/state                  nodes, faults in force, what simulated pods leave
    POST   /control/nodes                  {"name": "node-9", "simulated": false, "labels": {}}: a node joins
    DELETE /control/nodes/NAME             it leaves at once: its processes are killed, its disk is gone
    PATCH  /control/nodes/NAME             any of {"ready": false, "unschedulable": true, "taints": [...],
                                           "labels": {"key": "value"}, "allocatable": {"memory": "1Gi"}}
    POST   /control/nodes/NAME/kill        every process on it dies (its pods' containers restart)
    POST   /control/nodes/NAME/evict       its pods fail as Evicted; {"message": "…"} is optional
    PUT    /control/faults                 {"seed": 7, "faults": [{"effect": "latency" | "error" | "hang" |
                                           "lost_reply", "verb": "list", "resource": "pods", "share": 0.2,
                                           "seconds": 1, "code": 503}]}; an empty list ends them
    PUT    /control/safeguards             {"namespace": "default", "policy": "gatekeeper" |
                                           "validating-policy" | null}: refuse what mounts hostPath there,
                                           DaemonSets themselves and not only their pods
    PUT    /control/simulation             {"termination_message": "…"}: what init containers leave on
                                           simulated nodes; $(NAME) is a variable of the container's
"""

from __future__ import annotations

import hmac
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.cluster import safeguards
from local.cluster.defaulting import quality_of_service
from local.cluster.failures import ApiError, bad_request, unauthorized
from local.cluster.faults import Faults, parse_faults
from local.cluster.nodestates import new_node, with_readiness
from local.cluster.objects import Json, is_ready, name_of, timestamp, utc_now
from local.cluster.patching import merge_patch
from local.cluster.resources import NAMESPACES, NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request

    from local.cluster.nodes.kubelet import Kubelets
    from local.cluster.nodes.simulated import Simulation
    from local.cluster.store import Store

EVICTED = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 512Mi."
"""What a kubelet says when its disk runs full."""

NODE_CHANGES = frozenset({"ready", "unschedulable", "taints", "labels", "allocatable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the control acts upon."""

    store: Store
    kubelets: Kubelets
    faults: Faults
    simulation: Simulation
    token: str
    nodes_folder: Path


def control_routes(control: Control) -> list[Route]:
    """The routes under `/control/`."""
    handlers: dict[tuple[str, str], Callable[[Control, str, Any], Awaitable[Json]]] = {
        ("GET", "/control/state"): _state,
        ("POST", "/control/nodes"): _join,
        ("DELETE", "/control/nodes/{name}"): _leave,
        ("PATCH", "/control/nodes/{name}"): _change,
        ("POST", "/control/nodes/{name}/kill"): _kill,
        ("POST", "/control/nodes/{name}/evict"): _evict,
        ("PUT", "/control/faults"): _put_faults,
        ("PUT", "/control/safeguards"): _put_safeguards,
        ("PUT", "/control/simulation"): _put_simulation,
    }
    return [
        Route(path, _endpoint(control, handler), methods=[method])
        for (method, path), handler in handlers.items()
    ]


def _endpoint(
    control: Control, handler: Callable[[Control, str, Any], Awaitable[Json]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            _check_token(control, request)
            body = _parse(await request.body())
            return JSONResponse(await handler(control, request.path_params.get("name", ""), body))
        except ApiError as error:
            return JSONResponse(error.body, error.code)

    return answer


def _check_token(control: Control, request: Request) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), control.token.encode()):
        raise unauthorized()


def _parse(raw: bytes) -> Json:
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        raise bad_request(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body must be one JSON object")
    return body


async def _state(control: Control, name: str, body: Json) -> Json:
    del name, body
    nodes = [
        {
            "name": name_of(node),
            "ready": is_ready(node),
            "unschedulable": bool(node["spec"].get("unschedulable")),
            "taints": node["spec"].get("taints") or [],
            "folder": str(control.nodes_folder / name_of(node)),
        }
        for node in control.store.list(NODES)
    ]
    return {"nodes": nodes, **control.faults.as_json(), "simulation": control.simulation.as_json()}


async def _join(control: Control, name: str, body: Json) -> Json:
    del name
    wanted = body.get("name")
    if not isinstance(wanted, str) or not wanted or "/" in wanted:
        raise bad_request('a node that joins needs a name: {"name": "node-9"}')
    node = new_node(wanted, simulated=bool(body.get("simulated")))
    node["metadata"]["labels"] |= body.get("labels") or {}
    (control.nodes_folder / wanted).mkdir(parents=True, exist_ok=True)
    return control.store.create(NODES, node)


async def _leave(control: Control, name: str, body: Json) -> Json:
    del body
    gone = control.store.remove(NODES, "", name)
    await control.kubelets.abandon(name)
    shutil.rmtree(control.nodes_folder / name, ignore_errors=True)
    return gone


async def _change(control: Control, name: str, body: Json) -> Json:
    if not body.keys() <= NODE_CHANGES:
        raise bad_request(f"no such change of a node: {body}; there are {', '.join(sorted(NODE_CHANGES))}")
    node = control.store.get(NODES, "", name)
    patch: Json = {
        "metadata": {"labels": body.get("labels") or {}},
        "spec": {key: body[key] for key in ("unschedulable", "taints") if key in body},
        "status": {"allocatable": body.get("allocatable") or {}},
    }
    changed = merge_patch(node, patch)
    if "ready" in body:
        changed = with_readiness(changed, ready=bool(body["ready"]))
    return control.store.update(NODES, changed)


async def _kill(control: Control, name: str, body: Json) -> Json:
    del body
    control.store.get(NODES, "", name)
    return {"pods": control.kubelets.kill_processes(name)}


async def _evict(control: Control, name: str, body: Json) -> Json:
    control.store.get(NODES, "", name)
    pods = [pod for pod in control.store.list(PODS) if pod["spec"].get("nodeName") == name]
    for pod in pods:
        status = {
            "phase": "Failed",
            "reason": "Evicted",
            "message": body.get("message", EVICTED),
            "startTime": pod["status"].get("startTime", timestamp(utc_now())),
            "qosClass": quality_of_service(pod),
        }
        control.store.update(PODS, {**pod, "status": status})
    return {"pods": len(pods)}


async def _put_faults(control: Control, name: str, body: Json) -> Json:
    del name
    faults, seed = parse_faults(body)
    control.faults.put(faults, seed)
    return control.faults.as_json()


async def _put_safeguards(control: Control, name: str, body: Json) -> Json:
    del name
    policy = body.get("policy")
    if policy is not None and policy not in safeguards.POLICIES:
        raise bad_request(f"no such policy: {policy!r}; there are {', '.join(safeguards.POLICIES)}, and null")
    namespace = control.store.get(NAMESPACES, "", str(body.get("namespace", "default")))
    annotated = merge_patch(namespace, {"metadata": {"annotations": {safeguards.ANNOTATION: policy}}})
    return control.store.update(NAMESPACES, annotated)


async def _put_simulation(control: Control, name: str, body: Json) -> Json:
    del name
    control.simulation.termination_message = str(body.get("termination_message", ""))
    return control.simulation.as_json()
