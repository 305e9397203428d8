"""Which partitions a search touches, and which entries it leaves out because their retention is over.

Retention deletes whole partitions, so an entry may stay stored for weeks after its time. Entries under a hold count as
kept. The longer retention of settings and policy applies, so that a shortened policy hides nothing that is stored. If
this user may not read the retention, nothing is left out: an extra entry is better than a missing one.

A partition's name says which days it holds, whatever its length, so the cluster need not be asked. From 23 November on,
that is `2026.11` and `2026.11.23`, `2026.11.24` … and `2026.w48` …, then all of December, then each later year.
Adjacent names become one pattern (`2026.11.2*`), as all of them go into one URL.
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
"""Seconds for which the retention in force is cached."""


class Expiry:
    """Caches the result of `retention` for a minute, and turns it into a query."""

    def __init__(self, retention: Callable[[], RetentionView], clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._known: tuple[float, RetentionView | None] | None = None

    def view(self) -> RetentionView | None:
        """Returns the retention in force; `None` if this user may not read it."""
        if self._known is None or self._clock() - self._known[0] >= _FRESH:
            try:
                view = self._retention()
            except OpenSearchError:
                view = None
            self._known = self._clock(), view
        return self._known[1]

    def kept(self, now: datetime | None = None) -> dict[str, Any] | None:
        """Returns the clause that only kept entries match; `None` if all do.

        It stays the same for a minute, so that OpenSearch can cache its result.
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
"""The range of OpenSearch's nanoseconds."""

_LONGEST = 3000
"""Maximum length of the expression in a URL; OpenSearch accepts 4,096 bytes."""


def indices_of(prefix: str, window: Window) -> str:
    """Returns an index expression for all partitions that may hold entries of the window, missing ones included.

    For an empty window, it matches nothing.
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
    """Patterns for whole years: their months, days and weeks at once."""
    for digits in _patterns([f"{year:04d}" for year in whole]):
        yield digits if digits.endswith("*") else f"{digits}.*"


def _months(first: date, last: date, whole: set[int]) -> Iterator[str]:
    """Months and days of years that are partly in the window."""
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
    """Weeks outside of whole years. A week belongs to the year of its Thursday."""
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
    """The numbers, all of one length; `20*` replaces all that begin with `20`, and so on.

    `every` are all possible numbers; `None` means any digits.
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
