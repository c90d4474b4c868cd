"""Accounts that were found lately, and for how long that is believed."""

from dataclasses import replace

import pytest
from testkit.builders import ACCOUNT

from shared.adapters.found_accounts import FoundAccounts
from shared.domain.model import Account
from shared.ports import PassingError

KEY = ("subscription", ACCOUNT.name)
MINUTE = 60.0
HOUR = 60 * MINUTE


class Subscription:
    """Its accounts, how often it was listed, and what time it is."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = accounts
        self.lists = 0
        self.now = 1.0

    def clock(self) -> float:
        return self.now

    def look(self) -> Account | None:
        self.lists += 1
        return next((each for each in self.accounts if each.name == ACCOUNT.name), None)


def test_what_was_found_is_believed_for_an_hour() -> None:
    there = Subscription(ACCOUNT)
    found = FoundAccounts(there.clock)

    for passed, lists in ((0.0, 1), (HOUR - 1, 1), (2.0, 2)):
        there.now += passed
        assert found.get(KEY, there.look) == ACCOUNT
        assert there.lists == lists


def test_an_account_that_was_just_made_is_found_within_a_minute() -> None:
    there = Subscription()
    found = FoundAccounts(there.clock)
    assert found.get(KEY, there.look) is None
    assert found.get(KEY, there.look) is None
    assert there.lists == 1

    there.accounts = (ACCOUNT,)
    there.now += MINUTE
    assert found.get(KEY, there.look) == ACCOUNT


def test_a_failure_is_not_remembered() -> None:
    there = Subscription(ACCOUNT)
    found = FoundAccounts(there.clock)

    def fail() -> Account | None:
        raise PassingError("throttled")

    with pytest.raises(PassingError):
        found.get(KEY, fail)
    assert found.get(KEY, there.look) == ACCOUNT


def test_only_what_is_forgotten_is_looked_for_again() -> None:
    there, other = Subscription(ACCOUNT), replace(ACCOUNT, name="another")
    found = FoundAccounts(there.clock)
    found.get(KEY, there.look)
    found.forget(other)
    found.get(KEY, there.look)
    assert there.lists == 1

    found.forget(ACCOUNT)
    found.get(KEY, there.look)
    assert there.lists == 2


def test_the_accounts_that_were_found_the_longest_ago_make_room() -> None:
    there = Subscription(ACCOUNT)
    found = FoundAccounts(there.clock)
    found.get(KEY, there.look)
    for number in range(1_000):
        found.get(("subscription", f"other{number}"), lambda: None)

    found.get(KEY, there.look)
    assert there.lists == 2
