"""Closing an account whose former rules are refused: how many tries, and how long, that may take."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.adapters.network_restoring import MOST_TRIES, SECONDS_FOR_TRIES, restore_in_part
from shared.domain.leases import NetworkState


@dataclass
class Arm:
    """It refuses some subnets, and takes its time for each answer."""

    bad: frozenset[str]
    seconds: float = 0.0
    now: float = 1_000.0
    taken: list[NetworkState] = field(default_factory=list)
    tries: int = 0

    def takes(self, state: NetworkState) -> bool:
        self.now += self.seconds
        self.tries += 1
        if self.bad & set(subnets_of(state)):
            return False
        self.taken.append(state)
        return True

    def clock(self) -> float:
        return self.now


def subnets_of(state: NetworkState) -> list[str]:
    rules: dict[str, Any] = json.loads(state.rules)
    return [rule["id"] for rule in rules["virtualNetworkRules"]]


def state(switch: str, *subnets: str) -> NetworkState:
    rules = {"virtualNetworkRules": [{"id": subnet, "action": "Allow"} for subnet in subnets]}
    return NetworkState(public_network_access=switch, default_action="Deny", rules=json.dumps(rules))


MANY = tuple(f"/subnets/{n:03}" for n in range(64))
OPEN = state("Enabled")


def test_one_bad_subnet_of_many_is_left_out_alone() -> None:
    arm = Arm(bad=frozenset({MANY[17]}))

    assert restore_in_part(state("Enabled", *MANY), OPEN, arm.takes, arm.clock) == (MANY[17],)
    assert sorted(subnets_of(arm.taken[-1])) == sorted(set(MANY) - {MANY[17]})


def test_of_many_with_several_bad_ones_some_are_left_out_unjudged() -> None:
    arm = Arm(bad=frozenset(MANY[::4]))

    lost = restore_in_part(state("Enabled", *MANY), OPEN, arm.takes, arm.clock)

    assert lost is not None
    assert set(MANY[::4]) <= set(lost)
    assert arm.tries <= MOST_TRIES + 1


@pytest.mark.parametrize("switch", ["Enabled", "Disabled"])
def test_a_slow_arm_gets_no_more_than_the_time_there_is(switch: str) -> None:
    arm = Arm(bad=frozenset({MANY[63]}), seconds=SECONDS_FOR_TRIES / 4 + 1)

    lost = restore_in_part(state(switch, *MANY), OPEN, arm.takes, arm.clock)

    assert lost is not None
    assert MANY[63] in lost
    assert subnets_of(arm.taken[-1]) == [subnet for subnet in MANY if subnet not in lost]
    # Closed at once where it was closed, then tries for as long as there is time, the last one in full.
    assert arm.tries == (4 if switch == "Enabled" else 5)
    assert arm.taken[0].public_network_access == switch


def test_a_slow_arm_that_takes_nothing_in_time_leaves_the_account_without_rules() -> None:
    arm = Arm(bad=frozenset(MANY), seconds=SECONDS_FOR_TRIES)

    assert restore_in_part(state("Enabled", *MANY), OPEN, arm.takes, arm.clock) == MANY
    assert (arm.taken[-1].default_action, subnets_of(arm.taken[-1])) == ("Deny", [])
