"""Storage accounts as ARM sees them: found by name, opened as the operator has chosen, restored exactly."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from shared.adapters.azure_clients import AzureClients
from shared.adapters.errors import Fault, RefusedError, calling
from shared.adapters.found_accounts import FoundAccounts
from shared.adapters.network_refusals import forbidden, may_not_change, may_not_read
from shared.adapters.network_restoring import CLOSED, restore_in_part
from shared.domain.leases import NetworkState
from shared.domain.model import AccessMode, AccessTerms, Account
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery
from shared.ports import PassingError
from shared.settings import AccessSettings

_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/"
    r"Microsoft\.Storage/storageAccounts/(?P<name>[^/]+)",
    re.IGNORECASE,
)
_RULES_BY_ADDRESS = ("ipRules", "ipv6Rules")

Acls = dict[str, Any]
_logger = logging.getLogger(__name__)


class AzureStorageAccounts:
    """The port `Accounts`."""

    def __init__(self, clients: AzureClients, access: AccessSettings) -> None:
        """Keep what says how an account is opened."""
        self._clients = clients
        self._access = access
        self._found = FoundAccounts()

    @property
    def terms(self) -> AccessTerms:
        """As it was set."""
        return AccessTerms(mode=self._access.mode, subnet_id=self._access.subnet_id)

    def find(self, query: AccountQuery) -> Account | Refusal:
        """Ask for it in its group where that is known, else look through the subscription, now and then."""
        search = self._in_group if query.resource_group else self._in_subscription
        try:
            with calling(f"looking for storage account {query.name!r}", _not_found(query)):
                account = search(query)
        except RefusedError as refused:
            return refused.refusal
        if account is None:
            return _absent(query)
        return account if account.blob_endpoint else _without_blobs(query)

    def network(self, account: Account) -> NetworkState:
        """Read the switch and the rules, to be kept as they are."""
        place = _place(account)
        try:
            with calling(f"reading the network of {account.name!r}", may_not_read(account)):
                found = self._clients.storage(place["subscription"]).storage_accounts.get_properties(
                    place["group"], place["name"]
                )
        except RefusedError:
            self._found.forget(account)
            raise
        return _state(found)

    def must_open(self, found: NetworkState) -> bool:
        """Compare what was found with what the mode asks for."""
        return self._opened(found) not in (None, found)

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        """Write what the mode asks for, unless it is so already."""
        opened = self._opened(found)
        if opened is None or opened == found:
            return None
        if found.public_network_access == "SecuredByPerimeter":
            return _in_a_perimeter(account)
        try:
            self._write(account, opened, found)
        except RefusedError as refused:
            return refused.refusal
        return None

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        """Write back what was found, unless it is so already, or the account is no more.

        Rules that ARM does not take any more are left out, and given: the account is closed in any case.

        Raises:
            PassingError: not all is as it was; one that was closed to all, or is overdue, is closed to all.
        """
        try:
            found = self.network(account)
            if found == before:
                return ()
            return self._write_back(account, before, found, rather_closed=overdue)
        except RefusedError as refused:
            if refused.refusal.reason is not Reason.ACCOUNT_NOT_FOUND:
                raise
            _logger.warning("account is gone: account=%s id=%s", account.name, account.resource_id)
            return ()

    def _write_back(
        self, account: Account, before: NetworkState, found: NetworkState, *, rather_closed: bool
    ) -> tuple[str, ...]:
        try:
            return self._write_what_it_takes(account, before, found)
        except PassingError:
            # A subnet may be in change for hours; a switch is turned without any rule being judged.
            may_close = rather_closed or before.public_network_access == CLOSED
            if may_close and found.public_network_access != CLOSED:
                _logger.warning("closed to all until its rules can be written back: account=%s", account.name)
                self._write(account, replace(found, public_network_access=CLOSED), found)
            raise

    def _write_what_it_takes(
        self, account: Account, before: NetworkState, found: NetworkState
    ) -> tuple[str, ...]:
        try:
            self._write(account, before, found)
        except RefusedError as refused:
            if refused.refusal.reason is not Reason.STORAGE_BLOCKED:
                raise
            lost = restore_in_part(before, found, lambda state: self._takes(account, state))
            if lost is None:
                raise
            why = refused.refusal.message
            _logger.error(  # noqa: TRY400 - what ARM said is told, and no bug of ours
                "rules could not be written back: account=%s subnets=%s %s", account.name, list(lost), why
            )
            return lost
        return ()

    def _takes(self, account: Account, state: NetworkState) -> bool:
        try:
            self._write(account, state, self.network(account))
        except RefusedError as refused:
            if refused.refusal.reason is not Reason.STORAGE_BLOCKED:
                raise
            return False
        return True

    def _in_group(self, query: AccountQuery) -> Account:
        accounts = self._clients.storage(query.subscription_id).storage_accounts
        return _account(accounts.get_properties(cast("str", query.resource_group), query.name))

    def _in_subscription(self, query: AccountQuery) -> Account | None:
        def look() -> Account | None:
            accounts = self._clients.storage(query.subscription_id).storage_accounts.list()
            return next((_account(found) for found in accounts if found.name == query.name), None)

        return self._found.get((query.subscription_id, query.name), look)

    def _opened(self, found: NetworkState) -> NetworkState | None:
        """What the account must be like for the nodes to get in; None where nothing is to be done."""
        if self._access.mode is AccessMode.NONE or found.is_public:
            return None
        if self._access.mode is AccessMode.WINDOW:
            rules = json.loads(found.rules)
            if found.default_action == "Allow":
                return replace(found, public_network_access="Enabled")
            return _open_state("Allow", rules | {"defaultAction": "Allow"})
        return _with_subnet(found, cast("str", self._access.subnet_id))

    def _write(self, account: Account, state: NetworkState, found: NetworkState) -> None:
        """What is as it was found is not sent: ARM leaves it alone, and judges no rule of it."""
        place = _place(account)
        properties: dict[str, Any] = {}
        if state.public_network_access != found.public_network_access:
            properties["publicNetworkAccess"] = state.public_network_access
        if state.rules != found.rules:
            properties["networkAcls"] = json.loads(state.rules)
        with calling(f"changing the network of {account.name!r}", may_not_change(account, self._access)):
            self._clients.storage(place["subscription"]).storage_accounts.update(
                place["group"],
                place["name"],
                cast("Any", {"properties": properties}),
                retry_total=0,  # a try that ARM may still act on is known to the ledger, or none would look
            )


def _with_subnet(found: NetworkState, subnet_id: str) -> NetworkState:
    rules: Acls = json.loads(found.rules)
    if found.public_network_access != "Enabled":
        # Behind a switch that is off, rules are asleep: none of them is woken but ours.
        rules |= {key: [] for key in _RULES_BY_ADDRESS if key in rules}
        rules |= {"virtualNetworkRules": [], "defaultAction": "Deny"}
    subnets = rules.get("virtualNetworkRules") or []
    if not any(str(rule.get("id", "")).lower() == subnet_id.lower() for rule in subnets):
        rules["virtualNetworkRules"] = [*subnets, {"id": subnet_id, "action": "Allow"}]
    elif found.public_network_access == "Enabled":
        return found
    return _open_state("Deny", rules)


def _open_state(default_action: str, rules: Acls) -> NetworkState:
    return NetworkState(
        public_network_access="Enabled", default_action=default_action, rules=json.dumps(rules)
    )


def _state(found: Any) -> NetworkState:
    rules: Acls = found.network_rule_set.as_dict() if found.network_rule_set else {"defaultAction": "Allow"}
    return NetworkState(
        # Accounts older than the switch have none, and are open.
        public_network_access=str(found.properties.get("publicNetworkAccess") or "Enabled"),
        default_action=str(rules.get("defaultAction") or "Allow"),
        rules=json.dumps(rules),
    )


def _account(found: Any) -> Account:
    """As ARM describes it; without an endpoint where the account holds no blobs."""
    blobs = found.primary_endpoints.blob
    return Account(
        resource_id=str(found.id),
        name=str(found.name),
        blob_endpoint=str(blobs).rstrip("/") + "/" if blobs else "",
    )


def _place(account: Account) -> dict[str, str]:
    match = _ID.fullmatch(account.resource_id)
    assert match is not None  # the id is ARM's own
    return match.groupdict()


def _absent(query: AccountQuery) -> Refusal:
    where = f"resource group {query.resource_group!r}" if query.resource_group else "the subscription"
    return Refusal(
        reason=Reason.ACCOUNT_NOT_FOUND,
        message=f"storage account {query.name!r} is not in {where} {query.subscription_id}",
        remedy="check its name, or send storage_resource_group and the subscription that holds it",
    )


def _without_blobs(query: AccountQuery) -> Refusal:
    return Refusal(
        reason=Reason.ACCOUNT_NOT_FOUND,
        message=f"storage account {query.name!r} has no blob endpoint",
        remedy="name the account that holds the databases",
    )


def _not_found(query: AccountQuery) -> Callable[[Fault], Refusal]:
    scope = f"/subscriptions/{query.subscription_id}"
    if query.resource_group:
        scope += f"/resourceGroups/{query.resource_group}"

    def refuse(fault: Fault) -> Refusal:
        return _absent(query) if fault.status == 404 else forbidden("read", query.name, scope, fault)  # noqa: PLR2004 - HTTP

    return refuse


def _in_a_perimeter(account: Account) -> Refusal:
    return Refusal(
        reason=Reason.STORAGE_BLOCKED,
        message=f"storage account {account.name!r} is in a network security perimeter, not ours to open",
        remedy="admit the nodes by a rule of the perimeter and set STORAGE_ACCESS_MODE to none",
    )
