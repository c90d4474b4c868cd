"""Finds what a path names, and refuses in ARM's words what is not there or not allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from local.azure.arm.envelope import ArmError, Call
from local.azure.settings import Account, Cluster, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

Resource = TypeVar("Resource", bound=Account | Cluster | Registry)


def require_app(call: Call, action: str, scope: str, *, allowed: bool = True) -> None:
    """Only the app has rights in ARM here; `allowed` says whether it has this one."""
    if call.caller.object_id == call.world.settings.app.object_id and allowed:
        return
    who = call.caller.object_id
    raise ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{who}' with object id '{who}' does not have authorization to perform action '{action}' "
        f"over scope '{scope}' or the scope is invalid. "
        "If access was recently granted, please refresh your credentials.",
    )


def in_subscription(call: Call, resources: Iterable[Resource]) -> list[Resource]:
    """Those of the subscription in the path; 404 when nobody has heard of it."""
    subscription = call.path["subscription"]
    if subscription.lower() not in {each.subscription_id.lower() for each in call.world.settings.resources}:
        message = f"The subscription '{subscription}' could not be found."
        raise ArmError(404, "SubscriptionNotFound", message)
    return [each for each in resources if each.subscription_id.lower() == subscription.lower()]


def in_group(call: Call, resources: Iterable[Resource]) -> list[Resource]:
    """Those of the resource group in the path; 404 when there is no such group."""
    group = call.path["group"].lower()
    if group not in {
        each.resource_group.lower() for each in in_subscription(call, call.world.settings.resources)
    }:
        message = f"Resource group '{call.path['group']}' could not be found."
        raise ArmError(404, "ResourceGroupNotFound", message)
    return [each for each in in_subscription(call, resources) if each.resource_group.lower() == group]


def the_one(call: Call, resources: Iterable[Resource], kind: str) -> Resource:
    """The resource in the path, by its name in its group."""
    name = call.path["name"]
    for each in in_group(call, resources):
        if each.name.lower() == name.lower():
            return each
    group = call.path["group"]
    raise ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )
