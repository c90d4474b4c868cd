"""Who calls, and what they may do: roles for reading and operating, and three allow-lists."""

import base64
import json
from dataclasses import dataclass

from shared.domain.foreign import objects
from shared.domain.model import Cluster

# App Service renames what it has a longer name for.
_OBJECT_ID = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
_ROLES = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose token was good; the token itself is forgotten by now."""

    object_id: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody whose token was not, and why, in words that help only its owner."""

    why: str


def parse_principal(header: str) -> Caller | Stranger:
    """Read `X-MS-CLIENT-PRINCIPAL`, by which App Service's own authentication says who it let in."""
    try:
        principal = json.loads(base64.b64decode(header, validate=True))
    except (ValueError, RecursionError):
        return Stranger(why="its principal is no JSON")
    if not isinstance(principal, dict) or principal.get("auth_typ") != "aad":
        return Stranger(why="App Service let it in by something else than Entra ID")
    claims = [(claim.get("typ"), claim.get("val")) for claim in objects(principal, "claims")]
    object_id = next((str(value) for kind, value in claims if kind in _OBJECT_ID and value), "")
    if not object_id:
        return Stranger(why="its principal has no object id")
    return Caller(object_id=object_id, roles=frozenset(str(v) for kind, v in claims if kind in _ROLES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Who may do what to what; a role that is None is asked of nobody."""

    reader_role: str | None
    operator_role: str | None
    clusters: tuple[str, ...]  # `subscription/group/name` or `*`
    accounts: tuple[str, ...]  # names or `*`
    registries: tuple[str, ...]  # hosts or `*`

    def may_operate(self, caller: Caller) -> bool:
        """Whether the caller may start, cancel and release."""
        return self.operator_role is None or self.operator_role in caller.roles

    def may_read(self, caller: Caller) -> bool:
        """Whether the caller may look; who may operate may look."""
        if self.reader_role is None or self.reader_role in caller.roles:
            return True
        return self.operator_role is not None and self.operator_role in caller.roles

    def covers_cluster(self, cluster: Cluster) -> bool:
        """Whether the cluster is on the allow-list; Azure's names ignore case.

        >>> named = Permissions(
        ...     reader_role=None, operator_role=None, clusters=("s/g/One",), accounts=(), registries=()
        ... )
        >>> named.covers_cluster(Cluster(subscription_id="S", resource_group="G", name="one"))
        True
        """
        return _listed(f"{cluster.subscription_id}/{cluster.resource_group}/{cluster.name}", self.clusters)

    def covers_account(self, name: str) -> bool:
        """Whether the storage account is on the allow-list."""
        return _listed(name, self.accounts)

    def covers_image(self, image: str) -> bool:
        """Whether the image comes from a registry on the allow-list: it runs as root on every node."""
        return _listed(image.partition("/")[0], self.registries)


def _listed(name: str, allowed: tuple[str, ...]) -> bool:
    return "*" in allowed or name.lower() in {entry.lower() for entry in allowed}
