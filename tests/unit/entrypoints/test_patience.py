"""How long something must be lacking before it is warmed again by itself."""

from datetime import UTC, datetime, timedelta

from testkit import builders as a

from entrypoints.keep_warm import Patience

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LACKS = {a.DATABASE: "no node holds it"}


def test_what_has_been_lacking_round_after_round_is_due() -> None:
    patience = Patience()
    due = [patience.lasted(a.CLUSTER, LACKS, NOON + timedelta(minutes=minutes)) for minutes in (0, 2, 4, 6)]

    assert due == [(), (), (), (a.DATABASE,)]


def test_what_was_lacking_hours_ago_is_not_due_when_another_instance_watched_meanwhile() -> None:
    patience = Patience()
    patience.lasted(a.CLUSTER, LACKS, NOON)

    assert patience.lasted(a.CLUSTER, LACKS, NOON + timedelta(hours=3)) == ()
