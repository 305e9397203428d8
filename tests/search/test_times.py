"""The times of a query: moments and periods, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from whodid.errors import QueryError
from whodid.search import Filter, Window, check_order, moment
from whodid.search.value import period

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-90m", NOW - timedelta(minutes=90)),
        ("-4w", NOW - timedelta(weeks=4)),
        ("now", NOW),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-23T09:00:00+01:00", NOW),
        (datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=1))), NOW),
        (None, None),
    ],
)
def test_a_time_is_a_span_back_or_iso_8601(text: object, expected: datetime | None) -> None:
    assert moment(text, "since", NOW) == expected


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 (the fault under test)


@pytest.mark.parametrize("text", ["soon", "-24", "2026-13", "2026-W54", "2026-02-30", "", "24h", "-999999w", 7, NAIVE])
def test_what_is_no_time_is_named(text: object) -> None:
    with pytest.raises(QueryError, match="since"):
        moment(text, "since", NOW)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-W53", "2026-12-28", "2027-01-04"),
        ("2026-11-23", "2026-11-23", "2026-11-24"),
        ("today", "2026-11-23", "2026-11-24"),
        ("this-week", "2026-11-23", "2026-11-30"),
        ("Last-Week", "2026-11-16", "2026-11-23"),
        ("this-month", "2026-11-01", "2026-12-01"),
        ("last-month", "2026-10-01", "2026-11-01"),
        ("this-year", "2026-01-01", "2027-01-01"),
        ("last-year", "2025-01-01", "2026-01-01"),
        ("2026-01..2026-03", "2026-01-01", "2026-04-01"),
        ("yesterday..2026-11-23T06:00:00Z", "2026-11-22", "2026-11-23T06:00:00"),
    ],
)
def test_a_period_is(text: str, first: str, end: str) -> None:
    assert period(text, now=NOW) == Window(day(first), day(end))


def test_a_period_may_have_no_end_or_no_beginning() -> None:
    assert period("-24h", now=NOW) == period("-24h..", now=NOW) == Window(NOW - timedelta(days=1), None)
    assert period("..2026-10", now=NOW) == Window(None, day("2026-11-01"))
    assert period("..-24h", now=NOW) == Window(None, NOW - timedelta(days=1))


@pytest.mark.parametrize("text", ["..", "", "2026-13..", "..x", "0000", "9999"])
def test_what_is_no_period_is_named(text: str) -> None:
    with pytest.raises(QueryError, match="is not a valid time"):
        period(text, now=NOW)


def test_last_month_is_there_in_january_too() -> None:
    assert period("last-month", now=day("2027-01-31")) == Window(day("2026-12-01"), day("2027-01-01"))


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("2026-11-23", "2026-11-23", r"empty.* 2026-11-23T00:00:00Z.* use time:2026-11-23, or until 2026-11-24$"),
        ("2026-11", "2026-11", "use time:2026-11, or until 2026-12-01$"),
        ("2026-W48", "2026-W48", "use time:2026-W48, or until 2026-11-30$"),
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z", "until is exclusive$"),
        ("2026-11-23", "2026-11-23T01:00:00+01:00", "until is exclusive$"),
        ("-1h", "-2h", r"since \(-1h, 2026-11-23T07:00:00Z\) is after until \(-2h, 2026-11-23T06:00:00Z\)"),
        ("today", "yesterday", "since .* is after until"),
        (NOW, NOW - timedelta(hours=1), "since .* is after until"),
    ],
)
def test_two_times_with_nothing_between_are_named(since: Any, until: Any, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        check_order(since, until, NOW)
    with pytest.raises(QueryError, match=r"is after until|is empty"):
        Filter.of(since=since, until=until)


def test_one_time_alone_and_two_in_order_are_in_order() -> None:
    for since, until in ((None, None), ("today", None), (None, "-1h"), ("-2h", "-1h"), ("2026-11-23", "2026-11-24")):
        check_order(since, until, NOW)
