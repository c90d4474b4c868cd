"""Who may have which blob: the account's firewall, the bearer token, the role, in the real service's order.

Ends in an `Admitted` with the caller's name for the log, or a `Refused` in Azure Storage's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from local.azure.refusals import Refused
from local.azure.tokens import Caller, InvalidTokenError

if TYPE_CHECKING:
    from local.azure.settings import Account, Settings
    from local.azure.tokens import Tenant
    from local.azure.world import World

READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
"""Storage Blob Data Reader, Contributor, Owner: the ids are the same in every tenant."""

WRITERS = frozenset({CONTRIBUTOR, OWNER})
READERS = WRITERS | {READER}

STORAGE_AUDIENCES = frozenset({"https://storage.azure.com", "e406a681-f3d4-42a8-90b6-c2b029497af1"})

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRequest:
    """What the gate needs to know of a request."""

    method: str
    path: str
    """Unquoted, without the query."""
    query: str
    authorization: str

    @property
    def segments(self) -> list[str]:
        """Account, container, and the parts of the blob's name."""
        return self.path.lstrip("/").split("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """It may pass to Azurite."""

    caller: str


class Doorkeeper:
    """Judges each request by the world as it is at that moment."""

    def __init__(self, settings: Settings, tenant: Tenant, world: World) -> None:
        self._settings = settings
        self._tenant = tenant
        self._world = world
        self._accounts = {each.name: each for each in settings.accounts}
        self._subnet = settings.clusters[0].node_subnet_id if settings.clusters else None

    def judge(self, request: BlobRequest) -> Admitted | Refused:
        """Let it pass or say why not."""
        caller, why_not = self._identify(request.authorization)
        name = self._name(caller)
        if {".", ".."} & set(request.segments):
            # Azurite would resolve them, and end at another account than the one judged here.
            return Refused(caller=name, status=400, code="InvalidUri", message="The path has dot segments.")
        account = self._accounts.get(request.segments[0])
        if account is None:
            return Refused(
                caller=name,
                status=404,
                code="ResourceNotFound",
                message=f"There is no storage account named {request.segments[0]!r}.",
            )
        if not self._world.network_in_force(account.name).admits(self._subnet_of(caller)):
            message = "This request is not authorized to perform this operation."
            return Refused(caller=name, status=403, code="AuthorizationFailure", message=message)
        if caller is None:
            return _unauthenticated(request, why_not)
        if not self._is_allowed(request, caller, account):
            message = "This request is not authorized to perform this operation using this permission."
            return Refused(caller=name, status=403, code="AuthorizationPermissionMismatch", message=message)
        return Admitted(caller=name)

    def _identify(self, authorization: str) -> tuple[Caller | None, str]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None, "the request carries no bearer token"
        try:
            return self._tenant.check(token, STORAGE_AUDIENCES), ""
        except InvalidTokenError as error:
            return None, str(error)

    def _name(self, caller: Caller | None) -> str:
        if caller is None:
            return "-"
        if caller.object_id == self._settings.app.object_id:
            return "app"
        return caller.node or caller.object_id

    def _subnet_of(self, caller: Caller | None) -> str | None:
        if caller is None:
            return None
        is_app = caller.object_id == self._settings.app.object_id
        return self._settings.app_subnet_id if is_app else self._subnet if caller.node else None

    def _is_allowed(self, request: BlobRequest, caller: Caller, account: Account) -> bool:
        container = "".join(request.segments[1:2])
        scope = f"{account.id}/blobServices/default/containers/{container}" if container else account.id
        roles = READERS if request.method in READING_METHODS else WRITERS
        return self._world.has_role(caller.object_id, roles, scope)


def _unauthenticated(request: BlobRequest, why_not: str) -> Refused:
    signed = "sig" in parse_qs(request.query)
    if signed or request.authorization.startswith("SharedKey"):
        message = "Key based authentication is not permitted on this storage account."
        return Refused(caller="-", status=403, code="KeyBasedAuthenticationNotPermitted", message=message)
    if not request.authorization:
        message = "Server failed to authenticate the request: it carries no bearer token."
        return Refused(caller="-", status=401, code="NoAuthenticationInformation", message=message)
    message = f"Server failed to authenticate the request: {why_not}."
    return Refused(caller="-", status=401, code="InvalidAuthenticationInfo", message=message)
