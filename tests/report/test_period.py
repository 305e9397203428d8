"""The period: what two times name, and what they can't."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from whodid.errors import QueryError
from whodid.report import period_of
from whodid.report.period import moment_text

from .conftest import TODAY as NOW


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        ("2026-10-01", "2026-11-01", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-10", "2026-11", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("-7d", None, "2026-11-20T12:00:00Z", "2026-11-27T12:00:01Z"),
        ("2026-10-01T02:00:00+02:00", "2026-10-02", "2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"),
    ],
)
def test_two_times_name_a_period(since: str, until: str | None, begin: str, end: str) -> None:
    period = period_of(since, until, NOW)
    assert (moment_text(period.since), moment_text(period.until), period.over) == (begin, end, True)


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        (None, "2026-11-01", "a report needs a period"),
        ("2026-11-01", "2026-10-01", "since .* is after until"),
        ("2026-11-01", "2026-11-01", "empty: .* use time:2026-11-01"),
        ("2027-01-01", "2027-02-01", "lies in the future"),
        ("2027-01-01", None, "lies in the future"),
        ("octember", None, "since: 'octember' is not a valid time"),
        ("2026-11-01", "soon", "until: 'soon' is not a valid time"),
    ],
)
def test_what_is_no_period_is_refused(since: str | None, until: str | None, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        period_of(since, until, NOW)


def test_it_holds_its_beginning_and_not_its_end() -> None:
    period = period_of("2026-10-01", "2026-11-01", NOW)
    moments = ["2026-09-30T23:59:59Z", "2026-10-01T00:00:00Z", "2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z"]
    assert [period.holds(moment) for moment in moments] == [False, True, True, False]
    assert [period.holds(text) for text in ("", "soon", "2026-10-05", "2026-10-05T00:00:00")] == [False] * 4


def test_the_checkpoint_over_its_last_entries_is_waited_for_as_long_as_it_may_take() -> None:
    assert period_of("2026-10", "2026-11", NOW).sealed_by(3600) == datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert period_of("-7d", None, NOW).sealed_by(3600) == datetime(2026, 11, 27, 12, 0, 1, tzinfo=UTC)
    assert period_of("2026-11", "2027-01", NOW).sealed_by(3600) == datetime(2027, 1, 1, tzinfo=UTC)
    last = "9999-12-31T23:59:59Z"
    assert moment_text(period_of("2026-11", last, NOW).sealed_by(3600)) == last
