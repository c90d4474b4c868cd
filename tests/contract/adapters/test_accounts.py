"""The port `Accounts`."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from testkit.azure import APP, APP_ACCOUNT, DATA_ACCOUNT, SUBSCRIPTION, LaptopAzure, account_id, eventually

from shared.adapters.azure_clients import AzureClients
from shared.adapters.azure_storage import AzureStorageAccounts
from shared.domain.leases import NetworkState
from shared.domain.model import AccessMode, Account
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery
from shared.ports import FinalError, PassingError
from shared.settings import AccessSettings, AzureSettings

SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
)
QUERY = AccountQuery(subscription_id=SUBSCRIPTION, name=DATA_ACCOUNT, resource_group=None, run_id="run-1")


def changes(azure: LaptopAzure) -> int:
    return sum(line["method"] == "PATCH" for line in azure.log("arm"))


def test_an_account_is_found_by_its_name_alone(azure: LaptopAzure, accounts: AzureStorageAccounts) -> None:
    account = accounts.find(QUERY)

    assert account == Account(
        resource_id=account_id(DATA_ACCOUNT),
        name=DATA_ACCOUNT,
        blob_endpoint=f"{azure.blob}/{DATA_ACCOUNT}/",
    )
    assert accounts.find(replace(QUERY, resource_group="RG-Storage")) == account


def lists(azure: LaptopAzure) -> int:
    return sum(
        line["path"].endswith("/providers/Microsoft.Storage/storageAccounts") for line in azure.log("arm")
    )


def test_a_subscription_is_listed_once_for_all_who_ask_for_an_account(
    azure: LaptopAzure, accounts: AzureStorageAccounts
) -> None:
    already = lists(azure)
    with ThreadPoolExecutor(8) as crowd:
        found = set(crowd.map(accounts.find, [QUERY] * 8))
    absent = [accounts.find(replace(QUERY, name="nobodys")) for _ in range(3)]

    assert [account.name for account in found if isinstance(account, Account)] == [DATA_ACCOUNT]
    assert all(isinstance(refusal, Refusal) for refusal in absent)
    assert eventually(lambda: lists(azure) >= already + 2)
    assert lists(azure) == already + 2


def test_an_account_that_has_moved_is_looked_for_again(
    azure: LaptopAzure, accounts: AzureStorageAccounts
) -> None:
    already = lists(azure)
    account = accounts.find(QUERY)
    assert isinstance(account, Account)
    assert eventually(lambda: lists(azure) == already + 1)
    azure.fault(area="arm", kind="status", status=404, code="ResourceNotFound", method="GET", count=1)
    with pytest.raises(FinalError, match="no more"):
        accounts.network(account)

    assert accounts.find(QUERY) == account
    assert eventually(lambda: lists(azure) == already + 2)


@pytest.mark.parametrize("group", [None, "rg-storage", "rg-of-nobody"])
def test_an_account_that_is_not_there_is_a_refusal(accounts: AzureStorageAccounts, group: str | None) -> None:
    refusal = accounts.find(replace(QUERY, name="nobodys", resource_group=group))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ACCOUNT_NOT_FOUND
    assert "'nobodys'" in refusal.message


def test_a_window_is_opened_once_and_restored_exactly(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    before = accounts.network(account)
    already = changes(azure)

    assert accounts.open(account, before) is None
    opened = accounts.network(account)
    assert accounts.open(account, opened) is None
    assert (before.is_public, opened.is_public) == (False, True)
    assert changes(azure) == already + 1

    accounts.restore(account, before)
    accounts.restore(account, before)
    assert accounts.network(account) == before
    assert changes(azure) == already + 2


def test_a_change_that_arm_may_still_act_on_is_tried_once_and_told(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    before = accounts.network(account)
    already = changes(azure)
    azure.fault(area="arm", kind="status", status=504, method="PATCH", count=1)

    with pytest.raises(PassingError, match="504"):
        accounts.open(account, before)
    assert changes(azure) == already + 1


def test_an_account_older_than_the_switch_is_not_given_one(
    clients: AzureClients, accounts: AzureStorageAccounts
) -> None:
    old = accounts.find(replace(QUERY, name=APP_ACCOUNT))
    assert isinstance(old, Account)

    def told() -> Any:
        return clients.resource(SUBSCRIPTION, old.resource_id, "2023-05-01")["properties"]

    opened = accounts.network(old)
    shut = replace(opened, default_action="Deny", rules=json.dumps({"defaultAction": "Deny"}))
    accounts.restore(old, shut)
    before, found = told(), accounts.network(old)
    assert "publicNetworkAccess" not in before

    assert accounts.open(old, found) is None
    assert accounts.network(old).is_public
    accounts.restore(old, found)
    assert told() == before
    accounts.restore(old, opened)


def test_rules_come_back_in_their_order(accounts: AzureStorageAccounts, account: Account) -> None:
    before = accounts.network(account)
    rules = json.loads(before.rules) | {
        "ipRules": [{"value": value, "action": "Allow"} for value in ("20.0.0.9", "20.0.0.1", "20.0.0.5")],
        "virtualNetworkRules": [{"id": SUBNET, "action": "Allow", "state": "Succeeded"}],
    }
    theirs = NetworkState(public_network_access="Enabled", default_action="Deny", rules=json.dumps(rules))
    accounts.restore(account, theirs)

    assert accounts.open(account, theirs) is None
    accounts.restore(account, theirs)
    assert accounts.network(account) == theirs
    accounts.restore(account, before)


def behind(account: Account, accounts: AzureStorageAccounts, *subnets: str, switch: str) -> NetworkState:
    """The account, closed but for these subnets."""
    theirs = [{"id": subnet, "action": "Allow", "state": "Succeeded"} for subnet in subnets]
    rules = json.loads(accounts.network(account).rules) | {"virtualNetworkRules": theirs}
    state = NetworkState(public_network_access=switch, default_action="Deny", rules=json.dumps(rules))
    accounts.restore(account, state)
    return accounts.network(account)


def admitted(state: NetworkState) -> list[str]:
    return [rule["id"].rpartition("/")[2] for rule in json.loads(state.rules)["virtualNetworkRules"]]


@pytest.mark.parametrize("switch", ["Enabled", "Disabled"])
def test_a_subnet_that_was_deleted_meanwhile_does_not_keep_the_account_open(
    azure: LaptopAzure,
    accounts: AzureStorageAccounts,
    account: Account,
    switch: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    usual = accounts.network(account)
    before = behind(account, accounts, *(f"{SUBNET}{n}" for n in range(4)), switch=switch)
    assert accounts.open(account, before) is None
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": f"{SUBNET}2"})

    accounts.restore(account, before)
    closed = accounts.network(account)
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": ""})
    accounts.restore(account, usual)

    assert (closed.public_network_access, closed.default_action) == (switch, "Deny")
    assert admitted(closed) == ["s0", "s1", "s3"]
    assert f"rules could not be written back: account={DATA_ACCOUNT} subnets=['{SUBNET}2']" in caplog.text


def test_a_rule_that_opening_took_away_is_found_wanting_by_itself(
    azure: LaptopAzure, clients: AzureClients, accounts: AzureStorageAccounts, account: Account
) -> None:
    vnet = AccessSettings(mode=AccessMode.VNET, subnet_id=SUBNET, container="blast-db")
    admitting = AzureStorageAccounts(clients, vnet)
    usual = accounts.network(account)
    before = behind(account, accounts, *(f"{SUBNET}{n}" for n in range(5)), switch="Disabled")
    assert admitting.open(account, before) is None
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": f"{SUBNET}0,{SUBNET}3"})

    lost = admitting.restore(account, before)
    closed = accounts.network(account)
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": ""})
    accounts.restore(account, usual)

    assert closed.public_network_access == "Disabled"
    assert admitted(closed) == ["s1", "s2", "s4"]
    assert lost == (f"{SUBNET}0", f"{SUBNET}3")


def test_rules_that_nobody_takes_leave_the_account_closed_to_all(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    usual = accounts.network(account)
    before = behind(account, accounts, SUBNET, switch="Enabled")
    assert accounts.open(account, before) is None
    azure.fault(area="arm", kind="status", status=400, code="InvalidValues", method="PATCH", count=3)

    accounts.restore(account, before)
    closed = accounts.network(account)
    accounts.restore(account, usual)

    assert closed.public_network_access == "Disabled"


def test_an_account_that_cannot_be_closed_at_all_is_not_called_closed(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    before = accounts.network(account)
    assert accounts.open(account, before) is None
    azure.fault(area="arm", kind="status", status=400, code="InvalidValues", method="PATCH")

    with pytest.raises(FinalError, match="InvalidValues"):
        accounts.restore(account, before)
    azure.operate("DELETE", "/faults")
    accounts.restore(account, before)


def test_a_switch_alone_is_turned_without_any_rule_being_judged(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    usual = accounts.network(account)
    allowing = json.loads(usual.rules) | {
        "defaultAction": "Allow",
        "virtualNetworkRules": [{"id": SUBNET, "action": "Allow", "state": "Succeeded"}],
    }
    accounts.restore(
        account,
        NetworkState(public_network_access="Disabled", default_action="Allow", rules=json.dumps(allowing)),
    )
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": SUBNET})
    before = accounts.network(account)

    assert accounts.open(account, before) is None
    assert accounts.network(account).is_public
    accounts.restore(account, before)
    assert accounts.network(account) == before
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": ""})
    accounts.restore(account, usual)


def test_a_subnet_that_is_being_changed_is_a_matter_of_patience(
    azure: LaptopAzure, clients: AzureClients, account: Account
) -> None:
    subnet = SUBNET.replace("/v/", f"/{'long-' * 15}vnet/")
    vnet = AccessSettings(mode=AccessMode.VNET, subnet_id=subnet, container="blast-db")
    accounts = AzureStorageAccounts(clients, vnet)
    azure.operate("PATCH", "/behaviour", {"updating_subnets": subnet})

    with pytest.raises(PassingError, match="SubnetsNotProvisioned"):
        accounts.open(account, accounts.network(account))


@pytest.mark.parametrize(
    ("switch", "overdue", "closed_to_all"),
    [("Disabled", False, "Disabled"), ("Enabled", False, "Enabled"), ("Enabled", True, "Disabled")],
)
def test_a_subnet_that_is_being_changed_does_not_keep_the_account_open_for_long(  # noqa: PLR0913 - fixtures
    azure: LaptopAzure,
    accounts: AzureStorageAccounts,
    account: Account,
    switch: str,
    closed_to_all: str,
    *,
    overdue: bool,
) -> None:
    usual = accounts.network(account)
    before = behind(account, accounts, SUBNET, switch=switch)
    assert accounts.open(account, before) is None
    azure.operate("PATCH", "/behaviour", {"updating_subnets": SUBNET})

    with pytest.raises(PassingError, match="SubnetsNotProvisioned"):
        accounts.restore(account, before, overdue=overdue)
    meanwhile = accounts.network(account).public_network_access
    azure.operate("PATCH", "/behaviour", {"updating_subnets": ""})
    accounts.restore(account, before)
    at_last = accounts.network(account)
    accounts.restore(account, usual)

    assert (meanwhile, at_last) == (closed_to_all, before)


def test_a_subnet_in_change_beside_one_that_was_deleted_does_not_keep_the_account_open_for_long(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    usual = accounts.network(account)
    before = behind(account, accounts, f"{SUBNET}0", f"{SUBNET}1", switch="Enabled")
    assert accounts.open(account, before) is None
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": f"{SUBNET}0", "updating_subnets": f"{SUBNET}1"})

    with pytest.raises(PassingError, match="SubnetsNotProvisioned"):
        accounts.restore(account, before, overdue=True)
    meanwhile = accounts.network(account).public_network_access
    azure.operate("PATCH", "/behaviour", {"updating_subnets": ""})
    accounts.restore(account, before)
    at_last = accounts.network(account)
    azure.operate("PATCH", "/behaviour", {"deleted_subnets": ""})
    accounts.restore(account, usual)

    assert (meanwhile, at_last.public_network_access) == ("Disabled", "Enabled")
    assert admitted(at_last) == ["s1"]


def test_in_mode_vnet_only_the_nodes_subnet_is_let_in(clients: AzureClients, account: Account) -> None:
    vnet = AccessSettings(mode=AccessMode.VNET, subnet_id=SUBNET, container="blast-db")
    accounts = AzureStorageAccounts(clients, vnet)
    before = accounts.network(account)

    assert accounts.open(account, before) is None
    opened = accounts.network(account)
    assert accounts.open(account, opened) is None
    rules = json.loads(opened.rules)
    accounts.restore(account, before)

    assert (opened.public_network_access, opened.default_action) == ("Enabled", "Deny")
    assert [rule["id"] for rule in rules["virtualNetworkRules"]] == [SUBNET]
    assert rules["ipRules"] == []
    assert accounts.network(account) == before


def test_in_mode_none_nothing_is_touched(azure: LaptopAzure, clients: AzureClients, account: Account) -> None:
    accounts = AzureStorageAccounts(
        clients, AccessSettings(mode=AccessMode.NONE, subnet_id=None, container="blast-db")
    )
    before = accounts.network(account)
    already = changes(azure)

    assert accounts.open(account, before) is None
    assert changes(azure) == already


def test_an_app_that_may_not_change_the_network_says_which_command_helps(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    azure.operate("PATCH", "/behaviour", {"may_change_network": False})
    refusal = accounts.open(account, accounts.network(account))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ACCOUNT_FORBIDDEN
    assert refusal.remedy == (
        f"az role assignment create --assignee-object-id {APP['object_id']} "
        '--assignee-principal-type ServicePrincipal --role "ElasticBLAST Account Opener" '
        f"--scope {account.resource_id} "
        "(made once from deploy/account-opener-role.json: az role definition create)"
    )


@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (403, "LinkedAuthorizationFailed", "joinViaServiceEndpoint/action"),
        (400, "SubnetsHaveNoServiceEndpointsConfigured", "--service-endpoints Microsoft.Storage"),
        (409, "ScopeLocked", "az lock list"),
        (403, "RequestDisallowedByPolicy", "private endpoint"),
    ],
)
def test_what_forbids_a_change_is_named_with_its_remedy(
    azure: LaptopAzure, accounts: AzureStorageAccounts, status: int, code: str, cure: str
) -> None:
    account = accounts.find(QUERY)
    assert isinstance(account, Account)
    found = accounts.network(account)
    azure.fault(area="arm", kind="status", status=status, code=code, method="PATCH")

    refusal = accounts.open(account, found)

    assert isinstance(refusal, Refusal)
    assert code in refusal.message
    assert cure in refusal.remedy


def test_another_change_under_way_is_a_matter_of_patience(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    found = accounts.network(account)
    code = "StorageAccountOperationInProgress"
    azure.fault(area="arm", kind="status", status=409, code=code, method="PATCH")

    with pytest.raises(PassingError, match=code):
        accounts.open(account, found)


@pytest.mark.parametrize("status", [409, 429, 503])
def test_an_azure_that_is_busy_is_a_matter_of_patience(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account, status: int
) -> None:
    found = accounts.network(account)
    azure.fault(area="arm", kind="status", status=status, method="PATCH", retry_after_seconds=0)

    with pytest.raises(PassingError, match=f"changing the network of '{DATA_ACCOUNT}'"):
        accounts.open(account, found)


def test_an_account_that_is_gone_needs_no_restoring(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    before = accounts.network(account)
    already = changes(azure)
    azure.fault(area="arm", kind="status", status=404, code="ResourceNotFound", method="GET")

    with caplog.at_level(logging.WARNING):
        accounts.restore(account, before)

    assert changes(azure) == already
    assert f"account is gone: account={DATA_ACCOUNT}" in caplog.text


def test_an_account_that_may_not_be_read_any_more_is_not_taken_for_gone(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    before = accounts.network(account)
    azure.fault(area="arm", kind="status", status=403, code="AuthorizationFailed", method="GET")

    with pytest.raises(FinalError, match="may not read"):
        accounts.restore(account, before)


def test_a_lost_answer_is_no_lost_account(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    azure.fault(area="arm", kind="reset", count=1)

    assert accounts.network(account).public_network_access == "Disabled"


def throttled(azure: LaptopAzure) -> int:
    return sum(line["status"] == 429 for line in azure.log("arm"))


def test_a_pause_of_minutes_is_not_waited_for_in_a_thread(
    azure: LaptopAzure, accounts: AzureStorageAccounts, account: Account
) -> None:
    already = throttled(azure)
    azure.fault(area="arm", kind="status", status=429, retry_after_seconds=3_600)

    with pytest.raises(PassingError, match="429"):
        accounts.network(account)
    assert eventually(lambda: throttled(azure) > already)
    assert throttled(azure) == already + 1


def test_without_a_named_identity_the_apps_own_signs_in(azure_settings: AzureSettings) -> None:
    nameless = AzureClients(replace(azure_settings, client_id=None))
    access = AccessSettings(mode=AccessMode.NONE, subnet_id=None, container="blast-db")

    assert isinstance(AzureStorageAccounts(nameless, access).find(QUERY), Account)
