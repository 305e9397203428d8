"""The stats: how many entries match, when, and of what; what a histogram and a list of the most frequent need."""

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
"""About as many bars as a histogram has when no interval is asked for."""

_MOST_BARS = 2000
_MANY = 10_000
"""Values that each partition tells of, for the most frequent of all to be the right ones."""

INTERVALS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
"""What a bar may stand for, and how long that is at most."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram: entries from `start` on, for one interval."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """How many entries match, when, and of what: what `AuditClient.stats` returns."""

    total: int
    """How many entries match."""
    first: datetime | None
    """The time of the first of them; `None` if there is none."""
    last: datetime | None
    """The time of the last of them; `None` if there is none."""
    principals: int
    """How many different principals there are: exact up to 40,000, and about right above."""
    interval: str
    """What a bar of the histogram stands for: `second`, `minute`, `hour`, `day`, `week` or `month`."""
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


def interval_of(asked: str, window: Window) -> str:
    """The interval asked for, or the shortest that gives a window no more than `BARS` bars. Raises `QueryError`."""
    if asked != "auto" and asked not in INTERVALS:
        raise QueryError(f"there is no interval {asked!r}{did_you_mean(asked, INTERVALS)}; {', '.join(INTERVALS)}")
    if window.start is None or window.end is None:
        return "day" if asked == "auto" else asked
    length = window.end - window.start
    if asked == "auto":
        return next((name for name, width in INTERVALS.items() if length <= width * BARS), "month")
    if length > INTERVALS[asked] * _MOST_BARS:
        raise QueryError(f"a histogram by {asked} of that time has more than {_MOST_BARS} bars; take a longer interval")
    return asked


def aggregations(by: Sequence[str], top: int) -> dict[str, Any]:
    """What is asked first: everything but the histogram, whose interval depends on the answer."""
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

    Each partition tells its own most frequent ones only, and by default few more than are asked for: what is frequent
    in all of them together would be missing where it is not among those. So many are asked for.
    """
    many = max(_MANY, top)
    return {"terms": {"field": field, "size": top, "shard_size": many, "show_term_doc_count_error": True}}


def counts_of(found: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """Value → count of an answer to `most_frequent`, most first; and whether it is sure to be right.

    It is where every partition told of each value, and no value that some didn't tell of can have more.
    """
    buckets = found["buckets"]
    told = not any(bucket["doc_count_error_upper_bound"] for bucket in buckets)
    least = min((bucket["doc_count"] for bucket in buckets), default=0)
    sure = told and least >= found["doc_count_error_upper_bound"]
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}, sure


def check_countable(field: str) -> None:
    """Raises `QueryError` for a field without values to count."""
    countable = [name for name in FILTERS if FIELDS[name].kind in {"keyword", "ip"}]
    if field not in countable:
        meant = did_you_mean(field, countable)
        raise QueryError(f"{field} can't be counted by{meant}; take a field such as type, target or principal")


def histogram(interval: str) -> dict[str, Any]:
    """The aggregation of the histogram, in UTC."""
    return {"date_histogram": {"field": "@timestamp", "calendar_interval": interval, "min_doc_count": 0}}


def stats_of(total: int, found: Mapping[str, Any], interval: str, bars: Sequence[Mapping[str, Any]]) -> Stats:
    """From the answers' aggregations."""
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
