"""NCRONTAB schedules: when a timer function runs next; pure."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# A 29 February on a given weekday may be 28 years away, over a skipped leap year 40.
_SEARCHED_DAYS = 40 * 366


class ScheduleError(Exception):
    """An expression that is no six-field schedule, or one that never comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The values that each field admits; days of the month and of the week must both fit."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def after(self, moment: datetime) -> datetime:
        """Give the first occurrence later than `moment`."""
        day = moment.date()
        for _ in range(_SEARCHED_DAYS):
            if self._admits(datetime.combine(day, time())):
                for at in self._times():
                    found = datetime.combine(day, at, moment.tzinfo)
                    if found > moment:
                        return found
            day += timedelta(days=1)
        raise ScheduleError("the schedule names a day that never comes; correct it")

    def _admits(self, day: datetime) -> bool:
        weekday = day.isoweekday() % 7  # Sunday is 0
        return day.month in self.months and day.day in self.days and weekday in self.weekdays

    def _times(self) -> list[time]:
        return [
            time(hour, minute, second)
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
            for second in sorted(self.seconds)
        ]


def parse_schedule(expression: str) -> Schedule:
    """Read `second minute hour day month weekday`.

    >>> parse_schedule("0 */30 9-10 * * Mon").after(datetime(2026, 1, 6, 12)).isoformat()
    '2026-01-12T09:00:00'
    """
    fields = expression.split()
    if len(fields) != 6:  # noqa: PLR2004 - the six are named below
        raise ScheduleError(f"{expression!r} is no NCRONTAB schedule: it needs six fields, seconds first")
    try:
        return Schedule(
            seconds=_field(fields[0], range(60)),
            minutes=_field(fields[1], range(60)),
            hours=_field(fields[2], range(24)),
            days=_field(fields[3], range(1, 32)),
            months=_field(fields[4], range(1, 13), ("", *_MONTHS)),
            weekdays=_field(fields[5], range(7), _DAYS),
        )
    except ValueError as error:
        raise ScheduleError(f"{expression!r} is no NCRONTAB schedule: {error}") from error


def _field(text: str, admitted: range, names: tuple[str, ...] = ()) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        values.update(_span(span, admitted, names, has_step=bool(step))[:: int(step or 1)])
    return frozenset(values)


def _span(text: str, admitted: range, names: tuple[str, ...], *, has_step: bool) -> range:
    if text == "*":
        return admitted
    low, _, high = text.partition("-")
    first = _value(low, names)
    last = _value(high, names) if high else admitted[-1] if has_step else first
    if first not in admitted or last not in admitted or last < first:
        raise ValueError(f"{text!r} is not within {admitted[0]}-{admitted[-1]}")
    return range(first, last + 1)


def _value(text: str, names: tuple[str, ...]) -> int:
    short = text.lower()[:3]
    return names.index(short) if short in names else int(text)
