"""One account, several runs: the last one out closes it, and it is as it was, whatever the mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.fate import OPENING_AND_CLOSING
from testkit.stack import DATABASE, LARGE_DATABASE, LaptopStack, causes

from local.wiring import APP_SUBNET, CLUSTER, RESOURCE_GROUP, SUBSCRIPTION

pytestmark = pytest.mark.stack

_SUBNETS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.Network"
OTHER_SUBNET = f"{_SUBNETS}/virtualNetworks/labs/subnets/sequencers"
NODE_GROUP = f"MC_{RESOURCE_GROUP}_{CLUSTER}_koreacentral"
NODE_SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{NODE_GROUP}"
    "/providers/Microsoft.Network/virtualNetworks/aks-vnet/subnets/aks-subnet"
)
CLOSED = {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny"}}
TENANT = "00000000-0000-0000-0000-000000000001"
FACTORY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.DataFactory/factories/f"
# Rules of every kind, in an order that is not the alphabet's.
RULED = {
    "publicNetworkAccess": "Enabled",
    "networkAcls": {
        "defaultAction": "Deny",
        "bypass": "Logging, Metrics",
        "ipRules": [{"value": "203.0.113.7"}, {"value": "198.51.100.0/24"}],
        "virtualNetworkRules": [{"id": OTHER_SUBNET}, {"id": APP_SUBNET}],
        "ipv6Rules": [{"value": "2001:db8::/32", "action": "Allow"}],
        "resourceAccessRules": [{"tenantId": TENANT, "resourceId": FACTORY}],
    },
}


def test_the_first_run_in_opens_the_account_and_the_last_one_out_closes_it(stack: LaptopStack) -> None:
    before, writes = stack.network(), len(stack.fate.arm_writes())
    slow = stack.start_copying(LARGE_DATABASE)

    quick = stack.warm(DATABASE)
    between = stack.network()
    ended = stack.cancel(slow)

    assert quick["output"]["status"] == "succeeded"
    assert (between["public_access"], between["default_action"]) == ("Enabled", "Allow")
    assert ended["output"]["status"] == "cancelled"
    assert stack.network() == before
    assert stack.fate.network_changes(writes) == OPENING_AND_CLOSING


def test_rules_found_before_are_restored_in_their_order(stack: LaptopStack) -> None:
    with network(stack, RULED):
        before, writes = stack.network(), len(stack.fate.arm_writes())
        output = stack.warm(DATABASE)["output"]

        assert output["status"] == "succeeded"
        assert stack.network() == before
        assert stack.fate.network_changes(writes) == OPENING_AND_CLOSING


def test_a_rule_for_the_nodes_subnet_is_added_and_taken_away_again(stack: LaptopStack) -> None:
    settings = {"STORAGE_ACCESS_MODE": "vnet", "STORAGE_SUBNET_ID": NODE_SUBNET}
    with network(stack, RULED), stack.app_settings(**settings):
        before, writes = stack.network(), len(stack.fate.arm_writes())
        run_id = stack.start_copying(LARGE_DATABASE, max_mbps_per_node=30)
        during = stack.network()
        output = stack.finish(run_id)["output"]

        assert output["status"] == "succeeded"
        assert during == {**before, "subnet_ids": [OTHER_SUBNET, APP_SUBNET, NODE_SUBNET]}
        assert stack.network() == before
        assert stack.fate.network_changes(writes) == OPENING_AND_CLOSING


def test_nodes_of_another_subnet_say_which_one_is_admitted(stack: LaptopStack) -> None:
    settings = {"STORAGE_ACCESS_MODE": "vnet", "STORAGE_SUBNET_ID": OTHER_SUBNET}
    stack.empty_nodes()
    with network(stack, RULED), stack.app_settings(**settings):
        run_id = stack.start(DATABASE)
        status = stack.await_cause(run_id, "storage_closed")
        stack.cancel(run_id)

    # Not the agents' own: which subnet is admitted is known to the run only.
    remedy = causes(status)["storage_closed"]["remedy"]
    assert f"only subnet {'/'.join(OTHER_SUBNET.split('/')[-3::2])} is admitted" in remedy


@contextmanager
def network(stack: LaptopStack, properties: dict[str, Any]) -> Iterator[None]:
    """Let the account have another network for a while."""
    stack.fate.set_network(**properties)
    try:
        yield
    finally:
        stack.fate.set_network(**CLOSED)
