"""The times of a query: moments and periods as people write them, in UTC.

A moment is ISO 8601 (UTC where no zone is given), a span back from now such as `-24h`, or `now`. A period is a year, a
month, a week (`2026-W48`), a day, or one of the words of the grammar; where a moment is asked for it stands for its
first one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from ..errors import QueryError
from .grammar import PERIODS, UNITS

__all__ = ["Window", "check_order", "moment", "period"]

_SPAN = re.compile(r"-(\d{1,6})([wdhms])", re.ASCII)
_YEAR, _MONTH, _WEEK, _DAY = (
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (r"(\d{4})", r"(\d{4})-(\d\d)", r"(\d{4})-?W(\d\d)", r"(\d{4})-(\d\d)-(\d\d)")
)
_DECEMBER = 12


class Window(NamedTuple):
    """From `start`, included, to `end`, not included; `None` where there is no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __and__(self, other: Window) -> Window:
        """What is in both."""
        starts = [bound for bound in (self.start, other.start) if bound]
        ends = [bound for bound in (self.end, other.end) if bound]
        return Window(max(starts, default=None), min(ends, default=None))

    def hull(self, other: Window) -> Window:
        """What holds both."""
        start = min(self.start, other.start) if self.start and other.start else None
        end = max(self.end, other.end) if self.end and other.end else None
        return Window(start, end)


def moment(value: object, name: str, now: datetime | None = None) -> datetime | None:
    """The moment that `since` or `until` names, in UTC. Raises `QueryError`."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise QueryError(f"{name} is a datetime without a zone; add one, such as datetime.now(UTC)")
        return _in_utc(value)
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a datetime or a string, not {type(value).__name__}")
    now = now or datetime.now(UTC)
    try:
        if span := _SPAN.fullmatch(value):
            return now - timedelta(**{UNITS[span[2]]: int(span[1])})
        if value.lower() == "now":
            return now
        if window := _period(value, now):
            return window.start
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise _unknown(name, value) from None
    return _in_utc(found.replace(tzinfo=found.tzinfo or UTC))


def check_order(since: object, until: object, now: datetime | None = None) -> None:
    """Raises `QueryError` where no time is between the two, `until` not being included."""
    now = now or datetime.now(UTC)
    start, end = moment(since, "since", now), moment(until, "until", now)
    if start is None or end is None or start < end:
        return
    if start > end:
        raise QueryError(f"since ({_shown(since, start)}) is after until ({_shown(until, end)})")
    whole = _period(since, now) if isinstance(since, str) and since == until else None
    hint = f". For all of it write time:{since}, or until {whole.end:%Y-%m-%d}" if whole and whole.end else ""
    raise QueryError(
        f"the interval is empty: since and until are both {_shown(since, start)}, and until is not included{hint}"
    )


def _shown(given: object, at: datetime) -> str:
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment if not isinstance(given, str) or moment.startswith(given) else f"{given}, {moment}"


def period(value: str, name: str = "time", now: datetime | None = None) -> Window:
    """The period that a text names: one, or one up to another (`2026-01..2026-03`, `-7d..`). Raises `QueryError`."""
    now = now or datetime.now(UTC)
    first, dots, last = value.partition("..")
    if not dots:
        return _one(value, name, now)
    if not (first or last):
        raise _unknown(name, value)
    start = moment(first, name, now) if first else None
    end = _one(last, name, now) if last else Window()
    # A moment, unlike a period, ends where it begins.
    return Window(start, end.end if end.end else end.start)


def _one(value: str, name: str, now: datetime) -> Window:
    """A period; a moment stands for the time since then."""
    try:
        window = _period(value, now)
    except (ValueError, OverflowError):
        raise _unknown(name, value) from None
    return window or Window(moment(value, name, now))


def _unknown(name: str, value: str) -> QueryError:
    return QueryError(
        f"{name} {value!r} is no time; write 2026-11-23, 2026-11-23T08:00:00Z, 2026-11, yesterday, last-week, or -24h"
    )


def _period(text: str, now: datetime) -> Window | None:
    """The window of a period; `None` for what is none. Raises `ValueError` and `OverflowError` for one that is not."""
    if text.lower() in PERIODS:
        return _in_words(text.lower(), now.astimezone(UTC).date())
    if found := _YEAR.fullmatch(text):
        year = int(found[1])
        return _days(date(year, 1, 1), date(year + 1, 1, 1))
    if found := _MONTH.fullmatch(text):
        return _month(int(found[1]), int(found[2]))
    if found := _WEEK.fullmatch(text):
        first = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        return _days(first, first + timedelta(days=7))
    if found := _DAY.fullmatch(text):
        day = date(int(found[1]), int(found[2]), int(found[3]))
        return _days(day, day + timedelta(days=1))
    return None


def _in_words(word: str, today: date) -> Window:
    back = word in {"yesterday", "last-week", "last-month", "last-year"}
    if word in {"today", "yesterday"}:
        day = today - timedelta(days=back)
        return _days(day, day + timedelta(days=1))
    if word.endswith("week"):
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return _days(monday, monday + timedelta(days=7))
    if word.endswith("month"):
        first = (today.replace(day=1) - timedelta(days=1)).replace(day=1) if back else today
        return _month(first.year, first.month)
    return _days(date(today.year - back, 1, 1), date(today.year + 1 - back, 1, 1))


def _month(year: int, month: int) -> Window:
    return _days(date(year, month, 1), date(year + month // _DECEMBER, month % _DECEMBER + 1, 1))


def _days(first: date, end: date) -> Window:
    return Window(*(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, end)))


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar, in a zone that is already beyond it
        return time.replace(tzinfo=UTC)
