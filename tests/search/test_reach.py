"""The partitions that a window can reach: never one too few, and no more than the window overlaps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whodid.entry import partition_end, partition_name, partition_start
from whodid.search import Window
from whodid.search.partitions import indices_of

PREFIX = "whodid-audit"
slowly = settings(deadline=None)
DAYS = [date(2023, 12, 1) + timedelta(days=n) for n in range(1200)]
NAMES = sorted({partition_name(PREFIX, length, f"{day}") for day in DAYS for length in ("day", "week", "month")})

moments = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (the zone is given)


def reached(window: Window) -> set[str]:
    patterns = indices_of(PREFIX, window).split(",")
    return {name for name in NAMES if any(fnmatchcase(name, pattern) for pattern in patterns)}


SPANS = {name: (partition_start(PREFIX, name), partition_end(PREFIX, name)) for name in NAMES}


def overlapping(window: Window) -> set[str]:
    """By the partition's own first and last moment."""
    found = set()
    for name, (start, end) in SPANS.items():
        assert start
        assert end
        if (window.end is None or start < window.end) and (window.start is None or end > window.start):
            found.add(name)
    return found


@slowly
@given(moments, moments)
@example(datetime(2024, 12, 30, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
@example(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
@example(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
def test_exactly_what_overlaps_is_reached(one: datetime, other: datetime) -> None:
    start, end = sorted((one, other))
    window = Window(start, end)
    if start == end:
        assert reached(window) == set()
        return
    found, wanted = reached(window), overlapping(window)
    assert found >= wanted
    # A whole year's pattern takes its first and last week along, which lie partly in the year beside it.
    assert all(".w" in name for name in found - wanted)
    assert len(found - wanted) <= 2 * (end.year - start.year + 1)


@slowly
@given(moments)
@example(datetime(2024, 12, 30, tzinfo=UTC))
def test_without_an_end_nothing_older_and_without_a_start_nothing_newer_is_reached(at: datetime) -> None:
    for window in (Window(at, None), Window(None, at)):
        found, wanted = reached(window), overlapping(window)
        assert found >= wanted
        assert len(found - wanted) <= 2


@pytest.mark.parametrize(
    ("window", "expression"),
    [
        (Window(), "whodid-audit-*"),
        (Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)), "whodid-audit-nothing"),
        (Window(None, datetime.min.replace(tzinfo=UTC)), "whodid-audit-nothing"),
        (Window(datetime.max.replace(tzinfo=UTC), None), "whodid-audit-nothing"),
        (Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)), "whodid-audit-*"),
        (
            Window(datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)),
            "whodid-audit-2026.11,whodid-audit-2026.11.19,whodid-audit-2026.11.20,whodid-audit-2026.11.21,"
            "whodid-audit-2026.11.22,whodid-audit-2026.11.23,whodid-audit-2026.w47,whodid-audit-2026.w48",
        ),
    ],
)
def test_an_expression_is(window: Window, expression: str) -> None:
    assert indices_of(PREFIX, window) == expression


@slowly
@given(st.none() | moments, st.none() | moments)
def test_it_fits_into_a_url(start: datetime | None, end: datetime | None) -> None:
    for prefix in (PREFIX, "p" * 100):
        assert len(indices_of(prefix, Window(start, end))) <= 3000
