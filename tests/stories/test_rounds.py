"""The janitor's round, where something does not answer."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from testkit import builders as a
from testkit.telling import NOON, RUN_ID
from testkit.world import FOUND, OPENED, Accounts, World

from entrypoints.janitor import AT_ONCE
from shared.domain.leases import Attempt, Ledger, NetworkState, Owner
from shared.domain.model import Account
from shared.ports import PassingError

SHUT = replace(OPENED, public_network_access="Disabled")
PATIENCE_SECONDS = 20


class MeetingAccounts(Accounts):
    """Each account answers only while all the others are asked, too."""

    meeting = threading.Barrier(3)

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        self.meeting.wait(PATIENCE_SECONDS)
        return super().restore(account, before, overdue=overdue)


class StuckAccounts(Accounts):
    """Rules cannot be written back for now; the switch can be turned."""

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        del before
        if overdue:
            self.states[account.name] = SHUT
        raise PassingError("SubnetsNotProvisioned")


def test_an_account_whose_rules_cannot_come_back_is_closed_to_all_within_minutes(tmp_path: Path) -> None:
    world = World(tmp_path)
    accounts = StuckAccounts(world.ledgers)
    world.janitor = replace(world.janitor, accounts=accounts)
    gone = Owner(run_id="gone", since=NOON - timedelta(hours=1))
    world.ledgers.pages["one"] = Ledger(owners=(gone,), before=FOUND)
    one = replace(a.ACCOUNT, name="one")
    accounts.states["one"] = OPENED

    world.send_janitor(rounds=1)
    assert accounts.network(one) == OPENED  # what holds it up mostly passes
    world.send_janitor(rounds=4)

    assert accounts.network(one) == SHUT
    assert world.ledgers.pages["one"].to_restore == FOUND


def test_an_account_that_is_slow_to_answer_keeps_no_other_open(tmp_path: Path) -> None:
    world = World(tmp_path)
    accounts = MeetingAccounts(world.ledgers)
    world.janitor = replace(world.janitor, accounts=accounts)
    names = ("one", "two", "three")
    for name in names:
        gone = Owner(run_id=f"gone-{name}", since=NOON - timedelta(hours=1))
        world.ledgers.pages[name] = Ledger(owners=(gone,), before=FOUND)
        accounts.states[name] = OPENED

    world.send_janitor(rounds=1)

    assert {name: accounts.network(replace(a.ACCOUNT, name=name)) for name in names} == dict.fromkeys(
        names, FOUND
    )


def test_a_run_that_a_dead_closer_shut_out_is_let_in_within_two_rounds(tmp_path: Path) -> None:
    world = World(tmp_path)
    story = world.begin()
    while not world.ledger.owners:
        story.step()
    began = world.clock.now + timedelta(seconds=30)
    world.ledgers.pages[a.ACCOUNT.name] = replace(world.ledger, closings=(Attempt(at=began),))
    world.accounts.states[a.ACCOUNT.name] = FOUND  # its closing came when the run had joined

    world.send_janitor(rounds=1)
    assert world.network == FOUND  # it may be at it still, and then looks itself
    world.send_janitor(rounds=1)
    assert world.network == OPENED
    assert [owner.run_id for owner in world.ledger.owners] == [RUN_ID]

    story.tell_on()
    assert story.output["status"] == "succeeded"
    assert (world.network, world.ledger.to_restore) == (FOUND, None)


class BrokenAccounts(Accounts):
    """One of them makes a fool of whoever reads its rules."""

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        if account.name == "account0":
            raise LookupError("a key that is always there")
        return super().restore(account, before, overdue=overdue)


def test_a_fault_that_nobody_thought_of_keeps_no_other_account_open(tmp_path: Path) -> None:
    world = World(tmp_path)
    accounts = BrokenAccounts(world.ledgers)
    world.janitor = replace(world.janitor, accounts=accounts)
    names = [f"account{number}" for number in range(AT_ONCE + 5)]
    for name in names:
        gone = Owner(run_id=f"gone-{name}", since=NOON - timedelta(hours=1))
        world.ledgers.pages[name] = Ledger(owners=(gone,), before=FOUND)
        accounts.states[name] = OPENED

    with pytest.raises(LookupError):
        world.send_janitor(rounds=1)

    still_open = [name for name in names if accounts.network(replace(a.ACCOUNT, name=name)) == OPENED]
    assert still_open == ["account0"]
