"""Closing an account whose former rules ARM does not take any more: the door, and every rule that it takes.

ARM judges all subnets of a change at once. One that was deleted meanwhile, or lost its endpoint for storage,
would keep the account open for ever. What this relies on: a PATCH leaves alone what it does not name, so
that the public switch is turned off without any rule being judged.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.domain.leases import NetworkState

# Of a handful of subnets each is tried; of hundreds with several bad ones, some are left out unjudged.
MOST_TRIES = 16
# A slow ARM takes half a minute for each: what calls this must end well within the functions' ten minutes.
SECONDS_FOR_TRIES = 150.0
CLOSED = "Disabled"

Rule = dict[str, Any]
Takes = Callable[[NetworkState], bool]  # writes a state; False where ARM refuses its rules
Clock = Callable[[], float]  # seconds


def restore_in_part(
    before: NetworkState, found: NetworkState, takes: Takes, clock: Clock = time.monotonic
) -> tuple[str, ...] | None:
    """Write back what ARM takes of `before`; returns the subnets that it does not, in their order.

    None: it takes nothing at all, and the account may still be open.
    """
    if before.public_network_access == CLOSED:
        takes(replace(found, public_network_access=CLOSED))  # at once, whatever becomes of the rules
    wanted, gone = _subnets(before), _deleted(found)
    give_up = clock() + SECONDS_FOR_TRIES
    alive = [rule for rule in wanted if _id(rule) not in gone]
    kept = _taken(before, alive, takes, lambda: clock() < give_up)
    nothing_else = not kept and not takes(_with(before, []))
    # Rather closed to all than open to all.
    if nothing_else and not takes(replace(found, public_network_access=CLOSED)):
        return None
    return tuple(str(rule.get("id")) for rule in wanted if rule not in kept)


def _taken(
    before: NetworkState, wanted: Sequence[Rule], takes: Takes, in_time: Callable[[], bool]
) -> list[Rule]:
    """By halves, so that one subnet costs a few tries however many there are."""
    tries = iter(range(MOST_TRIES))

    def beside(kept: list[Rule], more: Sequence[Rule]) -> list[Rule]:
        if not more or not in_time() or next(tries, None) is None:
            return kept
        if takes(_with(before, [*kept, *more])):
            return [*kept, *more]
        if len(more) == 1:
            return kept
        half = len(more) // 2
        return beside(beside(kept, more[:half]), more[half:])

    return beside([], wanted)


def _with(before: NetworkState, subnets: Sequence[Rule]) -> NetworkState:
    return replace(before, rules=json.dumps(json.loads(before.rules) | {"virtualNetworkRules": subnets}))


def _subnets(state: NetworkState) -> list[Rule]:
    return list(json.loads(state.rules).get("virtualNetworkRules") or [])


def _deleted(found: NetworkState) -> set[str]:
    """Those that ARM itself shows to be gone."""
    return {_id(rule) for rule in _subnets(found) if rule.get("state") == "NetworkSourceDeleted"}


def _id(rule: Rule) -> str:
    return str(rule.get("id", "")).lower()
