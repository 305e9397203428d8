"""Pinned: a filter whose times mean the same whenever it is asked, such as one that is written down with its answer."""

from __future__ import annotations

from datetime import UTC, datetime

from .filter import All, AnyOf, Filter, Not, Time, both, either
from .times import moment, period

__all__ = ["pinned"]


def pinned(asked: Filter, now: datetime) -> Filter:
    """The same filter as it is meant at `now`: `since:-1h` becomes `since:2026-11-23T07:00:00Z`."""
    match asked:
        case Time(name="time", text=text):
            window = period(text, now=now)
            start, end = ("" if bound is None else _text(bound) for bound in window)
            return Time("time", f"{start}..{end}")
        case Time(name=name, text=text):
            at = moment(text, name, now)
            return Time(name, _text(at)) if at else asked
        case Not(part=part):
            return ~pinned(part, now)
        case All(parts=parts):
            return both(pinned(part, now) for part in parts)
        case AnyOf(parts=parts):
            return either(pinned(part, now) for part in parts)
    return asked


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
