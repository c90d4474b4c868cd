"""Role assignments for the nodes' identity: as little as it takes to read databases and to pull an image.

An assignment's name follows from scope, principal and role, so that asking twice asks for the same one.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from shared.adapters.azure_clients import AzureClients
from shared.adapters.errors import Fault, RefusedError, calling
from shared.domain.model import RoleGrant
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import RoleQuery

_GRANTED = 201  # ARM's answer to an assignment that was not there before
_EXISTS = "RoleAssignmentExists"
_BLOB_DATA_ABOVE_READER = ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    """A built-in role; ids are the same in every tenant."""

    name: str
    id: str
    implied_by: tuple[str, ...] = ()  # roles that hold at least as much


_BLOB_READER = _Role(
    name="Storage Blob Data Reader",
    id="2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    implied_by=_BLOB_DATA_ABOVE_READER,
)
_ACR_PULL = _Role(name="AcrPull", id="7f951dda-4ed3-4680-a7ca-43fe172d538d")
# What pulls where a registry's permissions are by repository: there AcrPull is worth nothing.
_REPOSITORY_READER = _Role(
    name="Container Registry Repository Reader", id="b93aa761-3e63-49ed-ac28-beffa264f7ac"
)
_BY_REPOSITORY = "AbacRepositoryPermissions"
_REGISTRY_API = "2025-11-01"  # the first that tells the mode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One role for one principal on one scope."""

    role: _Role
    principal_id: str
    scope: str

    @property
    def subscription_id(self) -> str:
        return self.scope.split("/")[2]

    @property
    def name(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.scope}:{self.principal_id}:{self.role.id}"))

    @property
    def remedy(self) -> str:
        return (
            f"az role assignment create --assignee-object-id {self.principal_id} "
            f'--assignee-principal-type ServicePrincipal --role "{self.role.name}" --scope {self.scope}'
        )

    def came_to(self, outcome: str, remedy: str = "") -> RoleGrant:
        return RoleGrant(role=self.role.name, scope=self.scope, outcome=outcome, remedy=remedy)


class AzureRoles:
    """The port `Roles`."""

    def __init__(self, clients: AzureClients, container: str) -> None:
        """Keep the container of databases: the nodes need no other."""
        self._clients = clients
        self._container = container

    def grant(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        """Grant each in turn; a registry whose group nobody named is left to its owner."""
        return (*(self._granted(wish) for wish in self._wishes(query)), *_left(query))

    def look_for(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        """Read assignments alone; what may not be read is thought to be lacking."""
        wishes = self._wishes(query)
        seen = (wish.came_to("present" if self._holds(wish) else "lacking") for wish in wishes)
        return (*seen, *_left(query))

    def _wishes(self, query: RoleQuery) -> list[_Wish]:
        container = f"{query.account.resource_id}/blobServices/default/containers/{self._container}"
        wishes = [_Wish(role=_BLOB_READER, principal_id=query.principal_id, scope=container)]
        if query.registry is not None and query.registry.resource_group is not None:
            registry = (
                f"/subscriptions/{query.cluster.subscription_id}"
                f"/resourceGroups/{query.registry.resource_group}"
                f"/providers/Microsoft.ContainerRegistry/registries/{query.registry.name}"
            )
            role = self._pulling_role(registry)
            wishes.append(_Wish(role=role, principal_id=query.principal_id, scope=registry))
        return wishes

    def _pulling_role(self, registry: str) -> _Role:
        """Whoever may grant roles on a registry may read it; one that cannot be read is a usual one."""
        try:
            with calling(f"reading {registry}", lambda fault: _unread(registry, fault)):
                found = self._clients.resource(registry.split("/")[2], registry, _REGISTRY_API)
        except RefusedError:
            return _ACR_PULL
        mode = (found.get("properties") or {}).get("roleAssignmentMode")
        return _REPOSITORY_READER if mode == _BY_REPOSITORY else _ACR_PULL

    def _granted(self, wish: _Wish) -> RoleGrant:
        try:
            with calling(f"granting {wish.role.name}", lambda fault: _refusal(wish, fault)):
                return wish.came_to("granted" if self._assign(wish) == _GRANTED else "present")
        except RefusedError as refused:
            # Whoever may not grant may find that somebody else has done so.
            if refused.code == _EXISTS or self._holds(wish):
                return wish.came_to("present")
            return wish.came_to("refused", refused.refusal.remedy)

    def _assign(self, wish: _Wish) -> int:
        parameters = RoleAssignmentCreateParameters(
            principal_id=wish.principal_id,
            principal_type="ServicePrincipal",
            role_definition_id=(
                f"/subscriptions/{wish.subscription_id}/providers/Microsoft.Authorization"
                f"/roleDefinitions/{wish.role.id}"
            ),
        )
        assignments = self._clients.roles(wish.subscription_id).role_assignments
        status: int = assignments.create(wish.scope, wish.name, parameters, cls=_status)
        return status

    def _holds(self, wish: _Wish) -> bool:
        """Whether the role, or one above it, reaches the scope already; what cannot be read does not."""
        assignments = self._clients.roles(wish.subscription_id).role_assignments
        try:
            with calling(f"reading the roles on {wish.scope}", lambda fault: _refusal(wish, fault)):
                found = list(
                    assignments.list_for_scope(wish.scope, filter=f"assignedTo('{wish.principal_id}')")
                )
        except RefusedError:
            return False
        return any(_reaches(wish, str(each.scope), str(each.role_definition_id)) for each in found)


def _left(query: RoleQuery) -> tuple[RoleGrant, ...]:
    registry = query.registry
    if registry is None or registry.resource_group is not None:
        return ()
    return (RoleGrant(role=_ACR_PULL.name, scope=registry.name, outcome="left_to_owner"),)


def _status(response: Any, _body: object, _headers: object) -> int:
    return int(response.http_response.status_code)


def _reaches(wish: _Wish, scope: str, definition_id: str) -> bool:
    above = f"{wish.scope}/".lower().startswith(f"{scope.rstrip('/')}/".lower())
    return above and definition_id.rpartition("/")[2].lower() in (wish.role.id, *wish.role.implied_by)


def _unread(registry: str, fault: Fault) -> Refusal:
    return Refusal(
        reason=Reason.ACCOUNT_FORBIDDEN,
        message=f"the app may not read {registry} ({fault})",
        remedy=f"give the app's identity Reader on {registry}",
    )


def _refusal(wish: _Wish, fault: Fault) -> Refusal:
    return Refusal(
        reason=Reason.ACCOUNT_FORBIDDEN,
        message=f"the app may not grant {wish.role.name!r} on {wish.scope} ({fault})",
        remedy=wish.remedy,
    )
