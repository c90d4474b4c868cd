"""NCRONTAB: which moments a schedule names."""

from datetime import UTC, datetime

import pytest

from local.host.schedules import ScheduleError, parse_schedule

TUESDAY = datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("* * * * * *", "2026-11-24T10:15:31+00:00"),
        ("0 */5 * * * *", "2026-11-24T10:20:00+00:00"),
        ("0 0 * * * *", "2026-11-24T11:00:00+00:00"),
        ("0 30 9 * * Mon-Fri", "2026-11-25T09:30:00+00:00"),
        ("0 0 0 1 Jan *", "2027-01-01T00:00:00+00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
        ("15,45 15 10 24 11 2", "2026-11-24T10:15:45+00:00"),
        ("0 0 8-18/4 * * 0", "2026-11-29T08:00:00+00:00"),
    ],
)
def test_the_next_occurrence_is_found(expression: str, following: str) -> None:
    assert parse_schedule(expression).after(TUESDAY).isoformat() == following


@pytest.mark.parametrize(
    "expression", ["* * * * *", "60 * * * * *", "x * * * * *", "0 0 0 5-1 * *", "*/0 * * * * *"]
)
def test_what_is_no_schedule_is_refused_by_its_text(expression: str) -> None:
    with pytest.raises(ScheduleError, match="is no NCRONTAB schedule"):
        parse_schedule(expression)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ScheduleError, match="never comes"):
        parse_schedule("0 0 0 31 2 *").after(TUESDAY)
