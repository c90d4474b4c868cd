"""Who calls, and what they may do: roles for reading and operating, and two allow-lists."""

from dataclasses import dataclass

from shared.domain.model import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose token was good; the token itself is forgotten by now."""

    object_id: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody whose token was not, and why, in words that help only its owner."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Who may do what to what; a role that is None is asked of nobody."""

    reader_role: str | None
    operator_role: str | None
    clusters: tuple[str, ...]  # `subscription/group/name` or `*`
    accounts: tuple[str, ...]  # names or `*`

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

        >>> named = Permissions(reader_role=None, operator_role=None, clusters=("s/g/One",), accounts=())
        >>> named.covers_cluster(Cluster(subscription_id="S", resource_group="G", name="one"))
        True
        """
        return _listed(f"{cluster.subscription_id}/{cluster.resource_group}/{cluster.name}", self.clusters)

    def covers_account(self, name: str) -> bool:
        """Whether the storage account is on the allow-list."""
        return _listed(name, self.accounts)


def _listed(name: str, allowed: tuple[str, ...]) -> bool:
    return "*" in allowed or name.lower() in {entry.lower() for entry in allowed}
