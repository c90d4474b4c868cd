"""What every ARM call has in common: bearer token, api-version, error bodies.

A handler is `(Call) -> Response` or raises ArmError; it sees only calls that passed.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from local.azure.tokens import Caller, ExpiredTokenError, InvalidTokenError, Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from local.azure.world import World

PUBLIC_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
"""ARM takes tokens for these and for its own address."""


class ArmError(Exception):
    """A refusal in ARM's words."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}

    def response(self) -> Response:
        """The error body every ARM provider uses."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, headers=dict(self.headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where this Azure can be reached; what ARM reports of itself depends on it."""

    arm: str
    identity: str
    authority: str
    blob: str
    injection: str | None
    control: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated ARM call."""

    world: World
    endpoints: Endpoints
    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The body's `properties`, where every provider keeps its own fields; raises ArmError."""
        found = self.body.get("properties", {})
        if not isinstance(found, dict):
            raise ArmError(400, "InvalidRequestContent", "properties must be a JSON object.")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Wraps handlers into Starlette endpoints."""

    world: World
    tenant: Tenant
    endpoints: Endpoints

    def around(self, handler: Callable[[Call], Response]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that serves `handler`."""

        async def endpoint(request: Request) -> Response:
            response = await self._answer(handler, request)
            response.headers["x-ms-request-id"] = str(uuid.uuid4())
            return response

        return endpoint

    async def _answer(self, handler: Callable[[Call], Response], request: Request) -> Response:
        try:
            return handler(await self._call(request))
        except ArmError as refusal:
            return refusal.response()

    async def _call(self, request: Request) -> Call:
        caller = self._authenticate(request)
        if "api-version" not in request.query_params:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", message)
        return Call(
            world=self.world,
            endpoints=self.endpoints,
            caller=caller,
            path=request.path_params,
            query=request.query_params,
            body=await _body(request),
        )

    def _authenticate(self, request: Request) -> Caller:
        authority = f"{self.endpoints.authority}/{self.tenant.tenant_id}"
        challenge = {"WWW-Authenticate": f'Bearer authorization_uri="{authority}", error="invalid_token"'}
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            message = "Authentication failed. The 'Authorization' header is missing."
            raise ArmError(401, "AuthenticationFailed", message, headers=challenge)
        try:
            return self.tenant.check(token, {self.endpoints.arm, *PUBLIC_AUDIENCES})
        except InvalidTokenError as error:
            expired = isinstance(error, ExpiredTokenError)
            code = "ExpiredAuthenticationToken" if expired else "InvalidAuthenticationToken"
            raise ArmError(401, code, f"The access token is invalid: {error}.", headers=challenge) from error


async def _body(request: Request) -> Mapping[str, Any]:
    raw = await request.body()
    if not raw:
        return {}
    try:
        parsed = json.loads(raw)
    except json.JSONDecodeError as error:
        raise ArmError(400, "InvalidRequestContent", f"The request content was invalid: {error}") from error
    if not isinstance(parsed, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content must be a JSON object.")
    return parsed
