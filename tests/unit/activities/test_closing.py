"""What leaving an account says when it cannot be done."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from testkit import builders as a
from testkit.memory_ports import MemoryAccounts, MemoryLedgers

from activities.storage import close_access
from shared.domain.model import Account
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import AccountQuery
from shared.ports import FinalError

QUERY = AccountQuery(
    subscription_id=a.SUBSCRIPTION, name="blastdata", resource_group=None, run_id="run-1", cluster="blast"
)


@dataclass
class RefusedAccounts(MemoryAccounts):
    """Accounts that cannot be found, for one reason or another."""

    reason: Reason

    def find(self, query: AccountQuery) -> Account | Refusal:
        return Refusal(reason=self.reason, message=f"{query.name} is not to be had", remedy="see why")


def close(reason: Reason) -> Any:
    books: dict[str, Any] = {"ledgers": MemoryLedgers(), "clock": lambda: datetime(2026, 5, 1, tzinfo=UTC)}
    return close_access(QUERY, accounts=RefusedAccounts(reason), **books)


def test_an_account_that_is_gone_needs_no_closing() -> None:
    assert close(Reason.ACCOUNT_NOT_FOUND) is False


def test_an_account_that_may_no_longer_be_read_is_not_taken_for_a_closed_one() -> None:
    with pytest.raises(FinalError, match="blastdata is not to be had"):
        close(Reason.ACCOUNT_FORBIDDEN)
