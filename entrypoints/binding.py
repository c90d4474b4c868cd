"""A plain handler and its ports become an HTTP function; what goes wrong in it becomes an answer.

The worker reads the signature of what is registered: the bound names and `context`, none of the ports.
Everybody may knock (the Functions key in a browser would be a shared secret): the gate is the handler's.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import azure.durable_functions as df
import azure.functions as func

from entrypoints.answering import Answer, respond
from entrypoints.task_hub import TaskHub
from entrypoints.threads import invoked

P = TypeVar("P")

Handler = Callable[[func.HttpRequest, P], Awaitable[Answer]]
HubHandler = Callable[[func.HttpRequest, TaskHub, P], Awaitable[Answer]]


def bind_door(blueprint: df.Blueprint, where: str, handler: Handler[P], ports: P) -> None:
    """Register a handler under its own name at `METHOD route`."""

    async def door(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with invoked(context):
            return await respond(handler(req, ports))

    _named(door, handler)
    _routed(blueprint, where)(door)


def bind_hub_door(blueprint: df.Blueprint, where: str, handler: HubHandler[P], ports: P) -> None:
    """Register a handler that also speaks to the task hub."""

    async def door(
        req: func.HttpRequest, client: df.DurableOrchestrationClient, context: func.Context
    ) -> func.HttpResponse:
        with invoked(context):
            return await respond(handler(req, TaskHub(client), ports))

    _named(door, handler)
    _routed(blueprint, where)(blueprint.durable_client_input(client_name="client")(door))


def _routed(blueprint: df.Blueprint, where: str) -> Callable[[object], object]:
    method, _, route = where.partition(" ")
    register: Callable[[object], object] = blueprint.route(
        route=route, methods=[method], auth_level=func.AuthLevel.ANONYMOUS
    )
    return register


def _named(door: Callable[..., object], handler: Callable[..., object]) -> None:
    door.__name__ = handler.__name__
    door.__doc__ = handler.__doc__
