"""The expiry: entries past their promised time that are not deleted yet, which searches leave out.

Retention deletes whole partitions, so an entry may still be stored for weeks after its time. What is held on purpose
counts as kept. The promise is the longer one of the settings' and the policy's: a policy that somebody made shorter
hides nothing that is still there. Where the cluster doesn't tell this user how long entries are kept, nothing is left
out: an entry too many is better than one that is missing.

The reach: which partitions can hold entries of a window, so that a search touches no others.

A partition's name says which days it holds, whatever its length was when it was made, so nobody has to be asked: from
23 November on that is `2026.11` and `2026.11.23`, `2026.11.24` … and `2026.w48` …, then all of December, then each year
that follows. What lies together is one pattern (`2026.11.2*`), as all of it goes into one URL.
"""

from __future__ import annotations

import time
from calendar import monthrange
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from ..errors import OpenSearchError
from ..retention.schedule import RetentionView
from .value import Window

__all__ = ["Expiry", "indices_of"]

_FRESH = 60.0
"""Seconds for which the retention in force is remembered."""


class Expiry:
    """Asks `retention` when it is first needed, and again when the answer is old."""

    def __init__(self, retention: Callable[[], RetentionView], clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._known: tuple[float, RetentionView | None] | None = None

    def view(self) -> RetentionView | None:
        """The retention in force; `None` where this user may not know."""
        if self._known is None or self._clock() - self._known[0] >= _FRESH:
            try:
                view = self._retention()
            except OpenSearchError:
                view = None
            self._known = self._clock(), view
        return self._known[1]

    def kept(self, now: datetime | None = None) -> dict[str, Any] | None:
        """The clause that only kept entries match; `None` where all are.

        It is the same for a minute, so that OpenSearch remembers what it has counted.
        """
        view = self.view()
        if view is None or view.floor_days is None or view.asked_days is None or view.enforced_by == "nothing":
            return None
        floor = (now or datetime.now(UTC)) - timedelta(days=max(view.floor_days, view.asked_days))
        young = {"range": {"@timestamp": {"gte": floor.strftime("%Y-%m-%dT%H:%M:00Z")}}}
        held = [partition.name for partition in view.partitions if partition.holds]
        if not held:
            return young
        return {"bool": {"should": [young, {"terms": {"_index": held}}], "minimum_should_match": 1}}


_FIRST, _LAST = date(1970, 1, 1), date(2262, 12, 31)
"""What OpenSearch can hold in nanoseconds."""

_LONGEST = 3000
"""Characters of a URL; OpenSearch takes 4,096 bytes."""


def indices_of(prefix: str, window: Window) -> str:
    """An index expression of all partitions that may hold entries of the window; missing ones are to be ignored.

    An empty window gives one that matches nothing.
    """
    first = max(window.start.date(), _FIRST) if window.start else _FIRST
    if window.end and (window.end.date() < _FIRST or (window.start and window.end <= window.start)):
        return f"{prefix}-nothing"
    last = min((window.end - timedelta(microseconds=1)).date(), _LAST) if window.end else _LAST
    if last < first:
        return f"{prefix}-nothing"
    return f"{prefix}-*" if (first, last) == (_FIRST, _LAST) else _of_days(prefix, first, last)


@lru_cache(maxsize=1024)
def _of_days(prefix: str, first: date, last: date) -> str:
    whole = {
        year for year in range(first.year, last.year + 1) if first <= date(year, 1, 1) and last >= date(year, 12, 31)
    }
    found = (*_years(whole), *_months(first, last, whole), *_weeks(first, last, whole))
    names = ",".join(f"{prefix}-{name}" for name in found)
    return names if len(names) <= _LONGEST else f"{prefix}-*"


def _years(whole: set[int]) -> Iterator[str]:
    """Their months, days and weeks, all in one."""
    for digits in _patterns([f"{year:04d}" for year in whole]):
        yield digits if digits.endswith("*") else f"{digits}.*"


def _months(first: date, last: date, whole: set[int]) -> Iterator[str]:
    """Months and days of the years that the window has a part of."""
    for year in sorted({first.year, last.year} - whole):
        months = [month for month in range(1, 13) if first <= date(year, month, 1) and last >= _end(year, month)]
        for digits in _patterns([f"{month:02d}" for month in months], [f"{month:02d}" for month in range(1, 13)]):
            yield f"{year:04d}.{digits}" if digits.endswith("*") else f"{year:04d}.{digits}*"
        for month in range(1, 13):
            if month not in months and first <= _end(year, month) and last >= date(year, month, 1):
                yield f"{year:04d}.{month:02d}"
                yield from _days(year, month, first, last)


def _days(year: int, month: int, first: date, last: date) -> Iterator[str]:
    every = [f"{day:02d}" for day in range(1, _end(year, month).day + 1)]
    inside = [day for day in every if first <= date(year, month, int(day)) <= last]
    return (f"{year:04d}.{month:02d}.{digits}" for digits in _patterns(inside, every))


def _weeks(first: date, last: date, whole: Collection[int]) -> Iterator[str]:
    """Those that are not in a whole year's pattern. A week belongs to the year that its Thursday is in."""
    for year in range(first.isocalendar().year, last.isocalendar().year + 1):
        if year in whole:
            continue
        every = [f"{week:02d}" for week in range(1, date(year, 12, 28).isocalendar().week + 1)]
        mondays = {week: date.fromisocalendar(year, int(week), 1) for week in every}
        inside = [week for week in every if first <= mondays[week] + timedelta(days=6) and last >= mondays[week]]
        yield from (f"{year:04d}.w{digits}" for digits in _patterns(inside, every))


def _end(year: int, month: int) -> date:
    return date(year, month, monthrange(year, month)[1])


def _patterns(numbers: Collection[str], every: Collection[str] | None = None) -> Iterator[str]:
    """The numbers, which have as many digits, with `20*` in place of all that begin with `20`, and so on.

    `every` are all there can be; `None` for any digits.
    """
    yield from _below("", numbers, every)


def _below(begin: str, numbers: Collection[str], every: Collection[str] | None) -> Iterator[str]:
    inside = [number for number in numbers if number.startswith(begin)]
    if not inside:
        return
    digits = len(inside[0]) - len(begin)
    possible = 10**digits if every is None else sum(number.startswith(begin) for number in every)
    if not digits:
        yield begin
    elif begin and len(inside) == possible:
        yield f"{begin}*"
    else:
        for digit in "0123456789":
            yield from _below(begin + digit, inside, every)
