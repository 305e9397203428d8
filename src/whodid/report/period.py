"""The period that a report covers, in UTC and to the second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..entry import later
from ..errors import QueryError
from ..search import Filter, Window, check_order, moment

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import FilterFields

__all__ = ["Period", "moment_text", "period_of"]


_LATE = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
"""A period that lasts until now includes the current second."""


def moment_text(at: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since`, inclusive, to `until`, exclusive; `made` is the time of the report."""

    since: datetime
    until: datetime
    made: datetime

    @property
    def over(self) -> bool:
        return self.until <= self.made + _SECOND

    @property
    def window(self) -> Window:
        return Window(self.since, self.until)

    def sealed_by(self, interval: float) -> datetime:
        """When a checkpoint covers the last entries: one is due after `interval` seconds, and may be late."""
        return min(later(self.until, timedelta(seconds=interval) + _LATE), max(self.made, self.until))

    def holds(self, time: str) -> bool:
        """Whether a time, `YYYY-MM-DDTHH:MM:SSZ`, is in the period; an invalid time is not."""
        try:
            at = datetime.fromisoformat(time)
        except (TypeError, ValueError):
            return False
        return at.tzinfo is not None and self.since <= at < self.until

    def of(self, **fields: Unpack[FilterFields]) -> Filter:
        """The filter for entries of the period with these fields, as for `Filter.of`."""
        return Filter.of(since=moment_text(self.since), until=moment_text(self.until)) & Filter.of(**fields)

    def as_json(self) -> dict[str, object]:
        return {"since": moment_text(self.since), "until": moment_text(self.until), "over": self.over}


def period_of(since: object, until: object, now: datetime) -> Period:
    """Makes the period between two times; without `until`, it includes the current second.

    Raises `QueryError` for invalid times, and for an empty period.
    """
    check_order(since, until, now)
    begin, end = moment(since, "since", now), moment(until, "until", now) or now + _SECOND
    if begin is None:
        raise QueryError("a report needs a period, such as --since 2026-10-01")
    begin, end = begin.replace(microsecond=0), end.replace(microsecond=0)
    if begin >= now:
        raise QueryError(f"--since {moment_text(begin)} lies in the future")
    if begin >= end:
        raise QueryError(f"the period is empty: it begins at {moment_text(begin)} and ends at {moment_text(end)}")
    return Period(begin, end, now.replace(microsecond=0))
