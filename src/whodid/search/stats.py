"""Statistics: how many entries match, when, and by which values; the histogram and the most frequent values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..entry import FIELDS
from ..errors import QueryError
from ..text import did_you_mean
from .grammar import FILTERS
from .value import Window

__all__ = ["BARS", "INTERVALS", "Bar", "Stats", "aggregations", "counts_of", "interval_of", "most_frequent", "stats_of"]

BARS = 60
"""The approximate number of bars of a histogram with the interval `auto`."""

_MOST_BARS = 2000
_MANY = 10_000
"""How many values each partition returns, so that the most frequent of all are exact."""

INTERVALS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
"""Interval → its greatest length."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram: entries from `start` on, for one interval."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """How many entries match, when, and by which values; returned by `AuditClient.stats`."""

    total: int
    """How many entries match."""
    first: datetime | None
    """The time of the first of them; `None` if there is none."""
    last: datetime | None
    """The time of the last of them; `None` if there is none."""
    principals: int
    """The number of distinct principals: exact up to 40,000, approximate above."""
    interval: str
    """The length of a bar of the histogram: `second`, `minute`, `hour`, `day`, `week` or `month`."""
    histogram: tuple[Bar, ...]
    """How many entries there are in each interval, the first one first."""
    top: Mapping[str, Mapping[str, int]]
    """Field → value → number of entries, most frequent first."""
    approximate: tuple[str, ...] = ()
    """Fields of `top` whose counts may be too low, or a value missing: a partition has more than 10,000 values of it,
    too much alike in number. `AuditClient.counts_by` is exact for those, and slower."""

    def as_json(self) -> dict[str, Any]:
        """Times as ISO 8601."""

        def text(time: datetime | None) -> str | None:
            return time.isoformat().replace("+00:00", "Z") if time else None

        bars = [{"start": text(bar.start), "count": bar.count} for bar in self.histogram]
        return {**asdict(self), "first": text(self.first), "last": text(self.last), "histogram": bars}


def check_interval(asked: str, window: Window) -> None:
    """Raises `QueryError` for an unknown interval, and for one that gives the window too many bars."""
    if asked == "auto":
        return
    if asked not in INTERVALS:
        hint = did_you_mean(asked, INTERVALS)
        raise QueryError(f"unknown interval {asked!r}{hint}; intervals are {', '.join(INTERVALS)}")
    if window.start and window.end and window.end - window.start > INTERVALS[asked] * _MOST_BARS:
        raise QueryError(f"a histogram by {asked} of that time has more than {_MOST_BARS} bars; use a longer interval")


def interval_of(asked: str, window: Window) -> str:
    """The given interval; for `auto` the shortest that gives at most `BARS` bars. Raises `QueryError`."""
    check_interval(asked, window)
    if asked != "auto":
        return asked
    if window.start is None or window.end is None:
        return "day"
    length = window.end - window.start
    return next((name for name, width in INTERVALS.items() if length <= width * BARS), "month")


def aggregations(by: Sequence[str], top: int) -> dict[str, Any]:
    """The aggregations of the first request: all but the histogram, whose interval depends on the answer."""
    for field in by:
        check_countable(field)
    return {
        "first": {"min": {"field": "@timestamp"}},
        "last": {"max": {"field": "@timestamp"}},
        "principals": {"cardinality": {"field": "principal", "precision_threshold": 40_000}},
        **{f"top {field}": most_frequent(field, top) for field in by},
    }


def most_frequent(field: str, top: int) -> dict[str, Any]:
    """The aggregation of the most frequent values of a field.

    By default, each partition returns few more values than requested. A value that is frequent only in total would be
    missing; therefore, each is asked for many values.
    """
    many = max(_MANY, top)
    return {"terms": {"field": field, "size": top, "shard_size": many, "show_term_doc_count_error": True}}


def counts_of(found: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """Value → count of an answer to `most_frequent`, most frequent first, and whether the counts are exact.

    They are if every partition returned each value, and no value left out by some partition can be more frequent.
    """
    buckets = found["buckets"]
    complete = not any(bucket["doc_count_error_upper_bound"] for bucket in buckets)
    least = min((bucket["doc_count"] for bucket in buckets), default=0)
    sure = complete and least >= found["doc_count_error_upper_bound"]
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}, sure


def check_countable(field: str) -> None:
    """Raises `QueryError` for a field whose values can't be counted."""
    countable = [name for name in FILTERS if FIELDS[name].kind in {"keyword", "ip"}]
    if field not in countable:
        meant = did_you_mean(field, countable)
        raise QueryError(f"can't count by {field!r}{meant}; use a field such as type, target or principal")


def histogram(interval: str) -> dict[str, Any]:
    """The aggregation of the histogram, in UTC."""
    return {"date_histogram": {"field": "@timestamp", "calendar_interval": interval, "min_doc_count": 0}}


def stats_of(total: int, found: Mapping[str, Any], interval: str, bars: Sequence[Mapping[str, Any]]) -> Stats:
    """Makes the statistics from the aggregations of both answers."""
    tops = {name.removeprefix("top "): counts_of(part) for name, part in found.items() if name.startswith("top ")}
    return Stats(
        total,
        time_of(found["first"]["value"]),
        time_of(found["last"]["value"]),
        int(found["principals"]["value"]),
        interval,
        tuple(Bar(datetime.fromtimestamp(bar["key"] / 1000, UTC), bar["doc_count"]) for bar in bars),
        {field: counts for field, (counts, _) in tops.items()},
        tuple(field for field, (_, sure) in tops.items() if not sure),
    )


def time_of(milliseconds: float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
