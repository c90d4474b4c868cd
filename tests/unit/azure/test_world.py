from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from testkit.azure import APP, DATA_ACCOUNT, KUBELET, READER, account_id, configuration

from local.azure.settings import SettingsError, parse_settings
from local.azure.world import Assignment, Network, World

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"


def world(folder: Path, **behaviour: Any) -> World:
    return World(parse_settings({**configuration(folder, 1), "behaviour": behaviour}))


def assignment(scope: str, acts_at: float = 0.0) -> Assignment:
    return Assignment(
        name=str(uuid.uuid4()),
        scope=scope,
        principal_id=KUBELET["object_id"],
        principal_type="ServicePrincipal",
        role_definition_id=f"/providers/Microsoft.Authorization/roleDefinitions/{READER.upper()}",
        created_at=0.0,
        acts_at=acts_at,
    )


def kubelet_reads(a_world: World, scope: str) -> bool:
    return a_world.has_role(KUBELET["object_id"], {READER}, scope)


@pytest.mark.parametrize(
    ("network", "subnet", "admitted"),
    [
        (Network(), None, True),
        (Network(public_access="Disabled"), None, False),
        (Network(public_access="Disabled", subnet_ids=(SUBNET,)), SUBNET, False),
        (Network(default_action="Deny"), SUBNET, False),
        (Network(default_action="Deny", subnet_ids=(SUBNET,)), SUBNET.upper(), True),
        (Network(default_action="Deny", subnet_ids=(SUBNET,)), None, False),
        (Network(default_action="Deny", ip_rules=("0.0.0.0/0",)), None, False),
        (Network(public_access="SecuredByPerimeter"), None, False),
    ],
)
def test_a_firewall_admits_by_the_switch_the_default_and_the_subnet(
    network: Network, subnet: str | None, *, admitted: bool
) -> None:
    assert network.admits(subnet) is admitted


def test_a_role_holds_on_its_scope_and_below_and_nowhere_else(tmp_path: Path) -> None:
    a_world, account = world(tmp_path), account_id(DATA_ACCOUNT)
    container = f"{account}/blobServices/default/containers/blast-db"
    a_world.grant(assignment(container.upper()))

    assert kubelet_reads(a_world, container)
    assert not kubelet_reads(a_world, account)
    assert not kubelet_reads(a_world, f"{container}-2")


def test_a_role_that_does_not_act_yet_is_shown_and_holds_nothing(tmp_path: Path) -> None:
    a_world, account = world(tmp_path), account_id(DATA_ACCOUNT)
    coming = assignment(account, acts_at=2**40)
    a_world.grant(coming)

    assert a_world.assignment(coming.id) == coming
    assert not kubelet_reads(a_world, account)


def test_a_change_of_network_is_shown_at_once_and_acts_later(tmp_path: Path) -> None:
    a_world = world(tmp_path, network_delay_seconds=HOUR)
    before = a_world.network(DATA_ACCOUNT)
    a_world.change_network(DATA_ACCOUNT, Network())
    a_world.change_network(DATA_ACCOUNT, Network(default_action="Deny"))

    assert a_world.network(DATA_ACCOUNT) == Network(default_action="Deny")
    assert a_world.network_in_force(DATA_ACCOUNT) == before


def test_another_life_knows_what_the_first_was_told(tmp_path: Path) -> None:
    first = world(tmp_path)
    given = assignment(account_id(DATA_ACCOUNT))
    first.grant(given)
    first.change_network(DATA_ACCOUNT, Network(default_action="Deny", subnet_ids=(SUBNET,)))

    second = world(tmp_path)
    assert second.snapshot() == first.snapshot()
    assert second.assignment(given.id) == given
    assert second.network_in_force(DATA_ACCOUNT).admits(SUBNET)


def test_what_the_configuration_grants_acts_at_once(tmp_path: Path) -> None:
    assert world(tmp_path, role_delay_seconds=HOUR).has_role(
        APP["object_id"], {READER}, account_id(DATA_ACCOUNT)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ports": {"moon": 1}}, "moon"),
        ({"app": {"object_id": "x"}}, "client_id"),
        ({"behaviour": {"role_delay_seconds": "1"}}, "role_delay_seconds = '1'"),
        ({"clusters": [{}]}, "kubeconfig"),
        ({"azurite_port": "many"}, "many"),
    ],
)
def test_an_odd_configuration_is_refused_by_field(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings({**configuration(tmp_path, 1), **change})
