"""Moments: an entry's `@timestamp` as the numbers that other forms count in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["milliseconds", "moment", "nanoseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(timestamp: object) -> datetime | None:
    """The moment; `None` for what is no time, as in a document that whodid didn't write."""
    try:
        found = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def nanoseconds(timestamp: object) -> int:
    """Since 1970; 0 where there is none, OTLP's word for an unknown time."""
    at = moment(timestamp)
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000 if at else 0


def milliseconds(timestamp: object) -> int:
    """Since 1970; 0 where there is none."""
    return nanoseconds(timestamp) // 1_000_000
