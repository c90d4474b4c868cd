"""The managed-identity endpoint, as App Service has it: plain HTTP on loopback, a secret header.

`/msi/token` speaks for the app, `/nodes/{node}/msi/token` for the kubelet identity on that node.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.azure.admission import STORAGE_AUDIENCES
from local.azure.arm.envelope import PUBLIC_AUDIENCES

if TYPE_CHECKING:
    from starlette.requests import Request

    from local.azure.faults import Rule
    from local.azure.settings import Identity
    from local.azure.tokens import Tenant
    from local.azure.world import World

AKS_AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The application that every Entra-integrated cluster accepts tokens for."""

API_VERSION = "2019-08-01"


class IdentityEndpoint:
    """Hands out tokens of the two managed identities."""

    def __init__(self, world: World, tenant: Tenant, arm: str) -> None:
        self._world = world
        self._tenant = tenant
        self._resources = STORAGE_AUDIENCES | {arm, AKS_AUDIENCE, *PUBLIC_AUDIENCES}

    def app(self) -> Starlette:
        """The identity listener's application."""
        return Starlette(
            routes=[Route("/msi/token", self._for_app), Route("/nodes/{node}/msi/token", self._for_node)]
        )

    async def _for_app(self, request: Request) -> Response:
        return self._answer(request, self._world.settings.app, node=None)

    async def _for_node(self, request: Request) -> Response:
        if self._world.behaviour.nodes_have_several_identities and not _client_id(request):
            return _error(
                400,
                "Multiple user assigned identities exist, please specify the clientId / resourceId "
                "of the identity in the token request",
            )
        return self._answer(request, self._world.settings.kubelet, node=request.path_params["node"])

    def _answer(self, request: Request, identity: Identity, *, node: str | None) -> Response:
        header = request.headers.get("x-identity-header", "")
        if not secrets.compare_digest(header.encode(), self._world.settings.identity_header.encode()):
            return _error(401, "The X-IDENTITY-HEADER header is missing or wrong.")
        if request.query_params.get("api-version") != API_VERSION:
            return _error(400, f"The api-version is not supported; ask with api-version={API_VERSION}.")
        asked = _client_id(request)
        if asked not in ("", identity.client_id):
            known = "No User Assigned or Delegated Managed Identity found for specified"
            return _error(400, f"{known} ClientId/ResourceId/PrincipalId.")
        resource = request.query_params.get("resource", "")
        if resource.rstrip("/") not in self._resources:
            return _error(
                400, f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
            )
        life = self._world.behaviour.token_life_seconds
        token = self._tenant.identity_token(identity, resource, life_seconds=life, node=node)
        return JSONResponse(
            {
                "access_token": token,
                "expires_on": str(int(time.time()) + life),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": identity.client_id,
            }
        )


def refuse_on_demand(fault: Rule) -> Response:
    """An injected status, in the endpoint's words."""
    return _error(fault.status, "Injected through the control listener.")


def _client_id(request: Request) -> str:
    return request.query_params.get("client_id", "")


def _error(status: int, message: str) -> Response:
    body: dict[str, Any] = {"statusCode": status, "message": message}
    return JSONResponse(body, status)
