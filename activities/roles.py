"""Hands on role assignments."""

from shared.domain.model import RoleGrant
from shared.domain.runs import RoleQuery
from shared.ports import Roles


def grant_roles(query: RoleQuery, *, roles: Roles) -> tuple[RoleGrant, ...]:
    """Grant what the nodes need; assignments have names of their own, so repeating it finds them."""
    return roles.grant(query)


def look_for_roles(query: RoleQuery, *, roles: Roles) -> tuple[RoleGrant, ...]:
    """Say what a run would grant, for one that grants nothing."""
    return roles.look_for(query)
