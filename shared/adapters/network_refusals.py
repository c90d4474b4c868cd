"""Why ARM would not let an account's network be read or changed, and the cure, by its own error codes.

    ScopeLocked (409)                          a lock, on the account or above it
    RequestDisallowedByPolicy (403)            a policy denies public access
    LinkedAuthorizationFailed (403)            a right on a subnet is wanting: no role on the account helps
    SubnetsHaveNoServiceEndpointsConfigured    a subnet has no endpoint for storage; often named within
    NetworkAclsValidationFailure (400)         … which stands for whatever is wrong with the rules
    AuthorizationFailed (403)                  a role on the account is wanting

A change writes all rules of the account, those it had included: so a subnet may be in the way in either mode.
What passes by itself, as StorageAccountOperationInProgress (409), never comes here.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from shared.adapters.errors import Fault
from shared.domain.model import AccessMode, Account
from shared.domain.refusals import Reason, Refusal
from shared.settings import AccessSettings

_WHO = re.compile(r"with object id '([-0-9a-fA-F]{36})'")
_NO_ENDPOINT = "SubnetsHaveNoServiceEndpointsConfigured"
_UNFIT_RULES = "NetworkAclsValidationFailure"
# Storage Account Contributor would do, and hand out the account's keys.
OPENER_ROLE = "ElasticBLAST Account Opener"
_OPENER_FILE = "deploy/account-opener-role.json"
JOIN = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"

Refuse = Callable[[Fault], Refusal]


def may_not_read(account: Account) -> Refuse:
    """Reading is a matter of roles; 404 is for an id that is no more, never for one that may not be seen."""
    gone = Refusal(
        reason=Reason.ACCOUNT_NOT_FOUND,
        message=f"storage account {account.name!r} is no more",
        remedy="create it again, or name another",
    )

    def refuse(fault: Fault) -> Refusal:
        if fault.status == HTTPStatus.NOT_FOUND:
            return gone
        return forbidden("read", account.name, account.resource_id, fault)

    return refuse


def may_not_change(account: Account, access: AccessSettings) -> Refuse:
    """Changing may be forbidden by more."""

    def refuse(fault: Fault) -> Refusal:
        return (
            _locked(account, fault)
            or _against_policy(account, fault)
            or _subnet_in_the_way(account, access, fault)
            or forbidden("write", account.name, account.resource_id, fault)
        )

    return refuse


def forbidden(verb: str, name: str, scope: str, fault: Fault) -> Refusal:
    """A role is wanting; ARM says of whom."""
    role = "Reader" if verb == "read" else OPENER_ROLE
    who = _WHO.search(fault.message)
    assignee = who[1] if who else "<object id of the app's identity>"
    return Refusal(
        reason=Reason.ACCOUNT_FORBIDDEN,
        message=f"the app may not {verb} storage account {name!r} ({fault})",
        remedy=(
            f"az role assignment create --assignee-object-id {assignee} "
            f'--assignee-principal-type ServicePrincipal --role "{role}" --scope {scope}'
            + ("" if verb == "read" else f" (made once from {_OPENER_FILE}: az role definition create)")
        ),
    )


def _locked(account: Account, fault: Fault) -> Refusal | None:
    if fault.code != "ScopeLocked":
        return None
    return Refusal(
        reason=Reason.ACCOUNT_FORBIDDEN,
        message=f"a lock forbids to write storage account {account.name!r} ({fault})",
        remedy="remove the lock (az lock list), or set STORAGE_ACCESS_MODE to none",
    )


def _against_policy(account: Account, fault: Fault) -> Refusal | None:
    if "Policy" not in fault.code:
        return None
    return Refusal(
        reason=Reason.POLICY_FORBIDS,
        message=f"a policy forbids to open storage account {account.name!r} ({fault})",
        remedy="give the nodes a private endpoint and set STORAGE_ACCESS_MODE to none",
    )


def _subnet_in_the_way(account: Account, access: AccessSettings, fault: Fault) -> Refusal | None:
    if fault.code != "LinkedAuthorizationFailed" and fault.status != HTTPStatus.BAD_REQUEST:
        return None
    joining = fault.code == "LinkedAuthorizationFailed"
    return Refusal(
        reason=Reason.ACCOUNT_FORBIDDEN if joining else Reason.STORAGE_BLOCKED,
        message=f"storage account {account.name!r} cannot have the network rules it needs ({fault})",
        remedy=_subnet_cure(account, access, fault),
    )


def _subnet_cure(account: Account, access: AccessSettings, fault: Fault) -> str:
    which = "the subnet of STORAGE_SUBNET_ID"
    if access.mode is not AccessMode.VNET:
        listed = f"az storage account network-rule list --account-name {account.name}"
        which = f"each subnet that a rule of the account names ({listed})"
    if fault.code == "LinkedAuthorizationFailed":
        return f"give the app's identity {JOIN} (deploy/subnet-joiner-role.json) on {which}"
    if _NO_ENDPOINT in f"{fault.code} {fault.message}":
        return (
            f"give {which} an endpoint for storage: az network vnet subnet update --ids <its id> "
            "--service-endpoints Microsoft.Storage"
        )
    if fault.code == _UNFIT_RULES:
        return f"check that {which} still exists, and has an endpoint for storage in the account's region"
    return "read what Azure says of it; or admit the nodes by hand and set STORAGE_ACCESS_MODE to none"
