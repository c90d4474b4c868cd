"""The Entra authority: discovery and keys, so that bearer tokens can be checked as in the cloud.

`POST /{tenant}/mint` signs a user's token for tests and laptops; it is there only where the configuration
says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.azure.tokens import Tenant, User

if TYPE_CHECKING:
    from starlette.requests import Request

USER_TOKEN_SECONDS = 3600
"""A user's access token lives for about an hour."""


class Authority:
    """Serves one tenant."""

    def __init__(self, tenant: Tenant, endpoint: str, *, mints: bool) -> None:
        self._tenant = tenant
        self._base = f"{endpoint}/{tenant.tenant_id}"
        self._mints = mints

    def app(self) -> Starlette:
        """The authority listener's application."""
        path = f"/{self._tenant.tenant_id}"
        routes = [
            Route(f"{path}/v2.0/.well-known/openid-configuration", self._configuration_v2),
            Route(f"{path}/.well-known/openid-configuration", self._configuration_v1),
            Route(f"{path}/discovery/v2.0/keys", self._keys),
            Route(f"{path}/discovery/keys", self._keys),
        ]
        if self._mints:
            routes.append(Route(f"{path}/mint", self._mint, methods=["POST"]))
        return Starlette(routes=routes)

    @property
    def issuer(self) -> str:
        """Who v2 tokens say they are from."""
        return f"{self._base}/v2.0"

    async def _configuration_v2(self, _request: Request) -> Response:
        return JSONResponse(self._configuration(self.issuer, f"{self._base}/discovery/v2.0/keys"))

    async def _configuration_v1(self, _request: Request) -> Response:
        return JSONResponse(self._configuration(self._tenant.issuer, f"{self._base}/discovery/keys"))

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse(self._tenant.key_set())

    async def _mint(self, request: Request) -> Response:
        try:
            user = _parse_user(await request.json())
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            message = f"A user needs object_id and audience, and may have name, roles, life_seconds: {error}"
            return JSONResponse({"error": message}, 400)
        return JSONResponse({"access_token": self._tenant.user_token(user, issuer=self.issuer)})

    def _configuration(self, issuer: str, keys: str) -> dict[str, Any]:
        return {
            "issuer": issuer,
            "jwks_uri": keys,
            "authorization_endpoint": f"{self._base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{self._base}/oauth2/v2.0/token",
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
        }


def _parse_user(raw: dict[str, Any]) -> User:
    return User(
        object_id=raw["object_id"],
        name=raw.get("name", "someone@laptop"),
        audience=raw["audience"],
        roles=tuple(raw.get("roles", ())),
        life_seconds=int(raw.get("life_seconds", USER_TOKEN_SECONDS)),
    )
