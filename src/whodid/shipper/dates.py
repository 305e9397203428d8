"""Dates: which entries may still, or already, go into their partition.

An entry from the future would make its partition too early, and retention counts from the partition's creation: it
would be deleted too early. An entry older than the retention would bring a deleted partition back to life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..entry import parse_creation_date

__all__ = ["Dates"]

_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Dates:
    """`now` is the cluster's clock; `retention_days` is `None` where nothing expires."""

    retention_days: int | None
    now: Callable[[], datetime]

    @classmethod
    def unlimited(cls) -> Dates:
        return cls(None, lambda: datetime.max.replace(tzinfo=UTC) - _AHEAD)

    def why_refused(self, creation_date: object) -> str | None:
        """Why an entry of that date becomes a dead letter; `None` when it does not."""
        date = parse_creation_date(str(creation_date))
        if date is None:
            return "creation_date is missing or malformed"
        now = self.now()
        if date > now + _AHEAD:
            return f"from the future: dated {creation_date}, more than a day ahead of the cluster's clock"
        if self.retention_days is not None and date < now - timedelta(days=self.retention_days):
            return f"expired on arrival: dated {creation_date}, older than the retention of {self.retention_days} days"
        return None
