"""Which ARM paths are served, by whom; every other path is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from local.azure.arm import clusters, registries, roles, storage
from local.azure.arm.envelope import ArmError, Call, Envelope

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from local.azure.faults import Rule

USUAL_CODES = {403: "AuthorizationFailed", 404: "ResourceNotFound", 409: "Conflict", 429: "TooManyRequests"}
"""What ARM calls an injected status."""

SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/{{group}}"
ASSIGNMENTS = "/{scope:path}/providers/Microsoft.Authorization/roleAssignments"


def arm_app(envelope: Envelope) -> ASGIApp:
    """The ARM listener's application."""
    table = [
        ("GET", ASSIGNMENTS, roles.list_assignments),
        ("GET", f"{ASSIGNMENTS}/{{name}}", roles.get_assignment),
        ("PUT", f"{ASSIGNMENTS}/{{name}}", roles.put_assignment),
        ("DELETE", f"{ASSIGNMENTS}/{{name}}", roles.delete_assignment),
        ("GET", f"{SUBSCRIPTION}/providers/{clusters.KIND}", clusters.list_clusters),
        ("GET", f"{GROUP}/providers/{clusters.KIND}", clusters.list_clusters),
        ("GET", f"{GROUP}/providers/{clusters.KIND}/{{name}}", clusters.get_cluster),
        ("GET", f"{GROUP}/providers/{clusters.KIND}/{{name}}/agentPools", clusters.list_pools),
        (
            "POST",
            f"{GROUP}/providers/{clusters.KIND}/{{name}}/listClusterUserCredential",
            clusters.list_user_credentials,
        ),
        ("GET", f"{SUBSCRIPTION}/providers/{storage.KIND}", storage.list_accounts),
        ("GET", f"{GROUP}/providers/{storage.KIND}", storage.list_accounts),
        ("GET", f"{GROUP}/providers/{storage.KIND}/{{name}}", storage.get_account),
        ("PATCH", f"{GROUP}/providers/{storage.KIND}/{{name}}", storage.patch_account),
        ("GET", f"{GROUP}/providers/{registries.KIND}/{{name}}", registries.get_registry),
    ]
    every = ["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD"]
    routes = [Route(path, envelope.around(handler), methods=[method]) for method, path, handler in table]
    app = Starlette(routes=[*routes, Route("/{rest:path}", envelope.around(_refuse), methods=every)])

    async def with_one_slash(scope: Scope, receive: Receive, send: Send) -> None:
        # Scopes begin with a slash, and so does the template they are put into: ARM takes `//` for `/`.
        if scope["type"] == "http":
            scope["path"] = "/" + scope["path"].lstrip("/")
        await app(scope, receive, send)

    return with_one_slash


def refuse_on_demand(fault: Rule) -> Response:
    """An injected status, in ARM's words."""
    code = fault.code or USUAL_CODES.get(fault.status, "InternalServerError")
    after = fault.retry_after_seconds
    headers = {} if after is None else {"Retry-After": str(after)}
    return ArmError(fault.status, code, "Injected through the control listener.", headers=headers).response()


def _refuse(call: Call) -> Response:
    message = f"'/{call.path['rest']}' is not served here: see docs/local.md for what is."
    raise ArmError(404, "InvalidResourceType", message)
