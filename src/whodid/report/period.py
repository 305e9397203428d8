"""The period: the span of time that a report is about, in UTC and to the second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import QueryError
from ..search import Filter, Window, check_order, moment

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import FilterFields

__all__ = ["Period", "moment_text", "period_of"]


_LATE = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
"""What happened in this very second belongs to a period that lasts until now."""


def moment_text(at: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since`, included, to `until`, not included; `made` is when it is asked about."""

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
        """Until when checkpoints vouch for its last entries: one is due after `interval` seconds, and may be late."""
        return min(self.until + timedelta(seconds=interval) + _LATE, max(self.made, self.until))

    def holds(self, time: str) -> bool:
        """Whether a moment, `YYYY-MM-DDTHH:MM:SSZ`, is in it; what is no moment is not."""
        try:
            at = datetime.fromisoformat(time)
        except (TypeError, ValueError):
            return False
        return at.tzinfo is not None and self.since <= at < self.until

    def of(self, **fields: Unpack[FilterFields]) -> Filter:
        """Entries of the period whose fields are these, as for `Filter.of`."""
        return Filter.of(moment_text(self.since), moment_text(self.until), **fields)

    def as_json(self) -> dict[str, object]:
        return {"since": moment_text(self.since), "until": moment_text(self.until), "over": self.over}


def period_of(since: object, until: object, now: datetime) -> Period:
    """The period that two times name; without `until`, up to and with this second.

    Raises `QueryError` for times that can't be read, and where there is no time between them.
    """
    check_order(since, until, now)
    begin, end = moment(since, "since", now), moment(until, "until", now) or now + _SECOND
    if begin is None:
        raise QueryError("say with --since from when on; a report is about a period, such as --since 2026-10-01")
    begin, end = begin.replace(microsecond=0), end.replace(microsecond=0)
    if begin >= now:
        raise QueryError(f"--since {moment_text(begin)} is yet to come; nothing can be said of it")
    if begin >= end:
        raise QueryError(f"the period would begin ({moment_text(begin)}) when it ends ({moment_text(end)}), or later")
    return Period(begin, end, now.replace(microsecond=0))
