"""Microsoft.Storage: accounts and their firewall.

A PATCH with `networkAcls` replaces the whole rule set, as the strictest reading of the real one: what is
not sent is gone. One without leaves the rules alone, and judges none of their subnets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from local.azure.arm.envelope import ArmError, Call
from local.azure.arm.finding import in_group, in_subscription, require_app, the_one
from local.azure.world import Network

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from local.azure.settings import Account

KIND = "Microsoft.Storage/storageAccounts"

PUBLIC_ACCESS = frozenset({"Enabled", "Disabled", "SecuredByPerimeter"})

KEPT_AS_SENT = ("ipv6Rules", "resourceAccessRules")
"""Rules for addresses of IPv6 and for resources of other services."""

DEFAULT_ACTIONS = frozenset({"Allow", "Deny"})


def get_account(call: Call) -> Response:
    """GET storageAccounts/{name}."""
    account = the_one(call, call.world.settings.accounts, KIND)
    require_app(call, f"{KIND}/read", account.id)
    return JSONResponse(_account(call, account))


def list_accounts(call: Call) -> Response:
    """GET storageAccounts, of a group or of the subscription."""
    find = in_group if "group" in call.path else in_subscription
    found = find(call, call.world.settings.accounts)
    require_app(call, f"{KIND}/read", f"/subscriptions/{call.path['subscription']}")
    return JSONResponse({"value": [_account(call, each) for each in found]})


def patch_account(call: Call) -> Response:
    """PATCH storageAccounts/{name}: the public switch and the network rules."""
    account = the_one(call, call.world.settings.accounts, KIND)
    require_app(call, f"{KIND}/write", account.id, allowed=call.world.behaviour.may_change_network)
    unknown = sorted(set(call.properties) - {"publicNetworkAccess", "networkAcls"})
    if unknown:
        raise ArmError(400, "InvalidRequestPropertyName", f"Not served here: {', '.join(unknown)}.")
    changed = _patched(call.world.network(account.name), call.properties)
    if call.properties.get("networkAcls") is not None:
        _judge_subnets(call, changed)
    call.world.change_network(account.name, changed)
    return JSONResponse(_account(call, account))


def _judge_subnets(call: Call, network: Network) -> None:
    """All that are sent, those that were there already included; a set that is not sent is not judged."""
    behaviour = call.world.behaviour
    for subnet in network.subnet_ids:
        name, vnet = subnet.rpartition("/")[2], subnet.partition("/subnets/")[0]
        if subnet in behaviour.deleted_subnets.split(","):
            why = f"SubnetsNotFound: The subnets {name} of the virtual network {vnet} were not found."
        elif subnet in behaviour.updating_subnets.split(","):
            why = (
                f"SubnetsNotProvisioned: Cannot proceed with operation because subnets {name} of the virtual "
                f"network {vnet} are not provisioned. They are in Updating state."
            )
        else:
            continue
        raise ArmError(400, "NetworkAclsValidationFailure", f"Validation of network acls failure: {why}")


def _patched(network: Network, properties: Mapping[str, Any]) -> Network:
    if "publicNetworkAccess" in properties:
        access = _one_of(properties["publicNetworkAccess"], PUBLIC_ACCESS, "publicNetworkAccess")
        network = replace(network, public_access=access)
    rules = properties.get("networkAcls")
    if rules is None:
        return network
    try:
        return _parse_rules(network, rules)
    except (AttributeError, KeyError, TypeError) as error:
        raise ArmError(400, "InvalidRequestContent", f"networkAcls cannot be read: {error}.") from error


def _parse_rules(network: Network, rules: Mapping[str, Any]) -> Network:
    return Network(
        public_access=network.public_access,
        default_action=_one_of(rules.get("defaultAction"), DEFAULT_ACTIONS, "networkAcls.defaultAction"),
        bypass=rules.get("bypass", "AzureServices"),
        ip_rules=tuple(each["value"] for each in rules.get("ipRules") or ()),
        subnet_ids=tuple(each["id"] for each in rules.get("virtualNetworkRules") or ()),
        kept_rules={name: rules[name] for name in KEPT_AS_SENT if rules.get(name)},
    )


def _one_of(value: str | None, allowed: frozenset[str], name: str) -> str:
    if value not in allowed:
        message = f"The value '{value}' of {name} is not one of {', '.join(sorted(allowed))}."
        raise ArmError(400, "InvalidValuesForRequestParameters", message)
    return value


def _account(call: Call, account: Account) -> dict[str, Any]:
    network = call.world.network(account.name)
    return {
        "id": account.id,
        "name": account.name,
        "type": KIND,
        "location": account.location,
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "statusOfPrimary": "available",
            "primaryLocation": account.location,
            "primaryEndpoints": {"blob": f"{call.endpoints.blob}/{account.name}/"},
            "supportsHttpsTrafficOnly": True,
            "minimumTlsVersion": "TLS1_2",
            "allowBlobPublicAccess": False,
            "allowSharedKeyAccess": False,
            **({"publicNetworkAccess": network.public_access} if network.public_access else {}),
            "networkAcls": _rules(network, call.world.behaviour.deleted_subnets.split(",")),
        },
    }


def _rules(network: Network, deleted: Collection[str]) -> dict[str, Any]:
    return {
        "bypass": network.bypass,
        "defaultAction": network.default_action,
        **{name: [] for name in KEPT_AS_SENT},
        **network.kept_rules,
        "ipRules": [{"value": each, "action": "Allow"} for each in network.ip_rules],
        "virtualNetworkRules": [
            {
                "id": each,
                "action": "Allow",
                "state": "NetworkSourceDeleted" if each in deleted else "Succeeded",
            }
            for each in network.subnet_ids
        ],
    }
