"""Who may pass: a bearer token of the tenant, a role, and the allow-lists.

The token is judged and forgotten here; what goes on is the caller's object id.
"""

from dataclasses import dataclass, field

import azure.functions as func

from entrypoints.answering import ShutDoorError
from entrypoints.threads import in_thread
from entrypoints.waiting import SharedQuestions
from shared.domain.callers import Caller, Permissions, Stranger, parse_principal
from shared.domain.model import Cluster
from shared.ports import Callers, PassingError

BYPASS_TOKEN = "__dev_bypass__"  # noqa: S105 - no secret: it opens nothing where the bypass is off
DEVELOPER = "00000000-0000-0000-0000-000000000000"
_MAX_TOKEN = 16 * 1024  # Entra's own headers stay below


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What every door but health asks first."""

    permissions: Permissions
    callers: Callers | None  # None only where the development bypass is on
    development_bypass: bool
    behind_app_service: bool = False  # it strips its header from what callers send
    # However many name keys that nobody knows: they wait for one fetch, and hold one thread.
    learning: SharedQuestions[str, bool] = field(default_factory=lambda: SharedQuestions(0.0))

    async def reader(self, request: func.HttpRequest) -> Caller:
        """Return who calls, if they may look; else raise ShutDoorError 401 or 403, or PassingError."""
        caller = await self._caller(request)
        if not self.permissions.may_read(caller):
            raise ShutDoorError(403, f"reading needs the app role {self.permissions.reader_role!r}")
        return caller

    async def operator(self, request: func.HttpRequest) -> Caller:
        """Return who calls, if they may start, cancel and release; else raise as `reader` does."""
        caller = await self._caller(request)
        if not self.permissions.may_operate(caller):
            raise ShutDoorError(403, f"this needs the app role {self.permissions.operator_role!r}")
        return caller

    def admit_cluster(self, cluster: Cluster) -> None:
        """Raise ShutDoorError 403 unless the cluster is on the allow-list."""
        if not self.permissions.covers_cluster(cluster):
            raise ShutDoorError(
                403,
                f"cluster {cluster.name!r} is not one that this app may touch; an administrator adds "
                "subscription/group/name to ALLOWED_CLUSTERS",
            )

    def admit_account(self, name: str) -> None:
        """Raise ShutDoorError 403 unless the storage account is on the allow-list."""
        if not self.permissions.covers_account(name):
            raise ShutDoorError(
                403,
                f"storage account {name!r} is not one that this app may touch; an administrator adds it "
                "to ALLOWED_STORAGE_ACCOUNTS",
            )

    def admit_image(self, image: str) -> None:
        """Raise ShutDoorError 403 unless the image's registry is on the allow-list."""
        if not self.permissions.covers_image(image):
            raise ShutDoorError(
                403,
                f"image {image!r} is of a registry that this app may not take images from; an administrator "
                "adds it to ALLOWED_REGISTRIES",
            )

    async def _learn(self) -> bool:
        if self.callers is not None:
            await in_thread(self.callers.learn)
        return True

    def _developer(self) -> Caller:
        roles = (self.permissions.reader_role, self.permissions.operator_role)
        return Caller(object_id=DEVELOPER, roles=frozenset(role for role in roles if role))

    async def _caller(self, request: func.HttpRequest) -> Caller:
        principal = request.headers.get("x-ms-client-principal", "")
        if self.behind_app_service and principal:
            return _accepted(parse_principal(principal))
        token = _bearer(request)
        if self.development_bypass and token in ("", BYPASS_TOKEN):
            return self._developer()
        if not token or self.callers is None:
            raise ShutDoorError(401, "sign in: an Entra ID bearer token is required")
        found = self.callers.recognise(token)
        if found is None:
            await self.learning.ask("keys", self._learn)
            found = self.callers.recognise(token)
        if found is None:
            raise PassingError("the tenant's signing keys cannot be read now")
        return _accepted(found)


def _accepted(found: Caller | Stranger) -> Caller:
    if isinstance(found, Stranger):
        raise ShutDoorError(401, f"the token is not accepted: {found.why}; sign in again")
    return found


def _bearer(request: func.HttpRequest) -> str:
    header: str = request.headers.get("authorization", "")
    scheme, _, token = header.strip().partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise ShutDoorError(401, "only bearer tokens are accepted")
    if len(token) > _MAX_TOKEN:
        raise ShutDoorError(401, "the token is too long to be one of Entra ID's")
    return token.strip()
