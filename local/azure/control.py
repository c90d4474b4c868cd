"""The control listener: look at the state, change the weather.

It exists only where the configuration gives it a port.

- `GET /state`: assignments, networks, power, behaviour
- `PATCH /behaviour`: any field of `settings.Behaviour`
- `PUT /power/{cluster}`: `{"state": "Running" | "Stopped"}`
- `PUT /faults`: `{"seed": 1, "rules": [...]}`, rules as in `faults.Rule`; `DELETE /faults`
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.azure.faults import FaultError, Faults, parse_rule
from local.azure.settings import SettingsError

if TYPE_CHECKING:
    from starlette.requests import Request

    from local.azure.world import World

POWER_STATES = ("Running", "Stopped")


class Control:
    """Serves the operator of the stack."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    def app(self) -> Starlette:
        """The control listener's application."""
        return Starlette(
            routes=[
                Route("/state", self._state),
                Route("/behaviour", self._behave, methods=["PATCH"]),
                Route("/power/{cluster}", self._power, methods=["PUT"]),
                Route("/faults", self._set_faults, methods=["PUT"]),
                Route("/faults", self._clear_faults, methods=["DELETE"]),
            ],
            exception_handlers=dict.fromkeys((FaultError, SettingsError, json.JSONDecodeError), _bad_request),
        )

    async def _state(self, _request: Request) -> Response:
        return JSONResponse({**self._world.snapshot(), "behaviour": asdict(self._world.behaviour)})

    async def _behave(self, request: Request) -> Response:
        return JSONResponse(asdict(self._world.behave(await _object(request))))

    async def _power(self, request: Request) -> Response:
        state = (await _object(request)).get("state")
        name = request.path_params["cluster"]
        found = [each for each in self._world.settings.clusters if each.name == name]
        if not found or state not in POWER_STATES:
            message = f"no cluster {name!r}, or {state!r} is none of {POWER_STATES}"
            return JSONResponse({"error": message}, 400)
        self._world.set_power(found[0].id, state)
        return Response(status_code=204)

    async def _set_faults(self, request: Request) -> Response:
        body = await _object(request)
        rules, seed = body.get("rules", []), body.get("seed", 0)
        if not (isinstance(rules, list) and isinstance(seed, int)):
            raise FaultError("rules must be a list and seed a number")
        self._faults.set([parse_rule(each) for each in rules], seed=seed)
        return Response(status_code=204)

    async def _clear_faults(self, _request: Request) -> Response:
        self._faults.set([], seed=0)
        return Response(status_code=204)


async def _object(request: Request) -> dict[str, Any]:
    body = await request.json()
    if not isinstance(body, dict):
        raise FaultError("the body must be a JSON object")
    return body


async def _bad_request(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
