"""The picture: entries over time as bars that lead to their time, and the most frequent values as links."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from ..entry import FIELDS
from ..search import Stats
from ..search.stats import INTERVALS
from .question import Question

__all__ = ["FACETS", "TOP", "BarLink", "Facet", "bars_of", "facets_of", "span_of"]

FACETS = ("type", "principal", "organization_id", "outcome")
"""Fields whose most frequent values are shown, as many as `TOP` of each."""

TOP = 6
HEIGHT = 100
MOST_BARS = 366
_SHAPES = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}


class BarLink(NamedTuple):
    """A bar: its place from the left, its height of `HEIGHT`, what it stands for, and the question of its time."""

    place: int
    height: float
    label: str
    url: str


class Facet(NamedTuple):
    """The values of one field: text, count, share of the most frequent in percent, and the question of that value.

    `approximate` where there are too many values to be sure of their counts.
    """

    field: str
    label: str
    values: list[tuple[str, int, int, str]]
    approximate: bool = False


def bars_of(stats: Stats, question: Question) -> list[BarLink]:
    """A bar for each stretch of time; those without entries have no height. None where they would be too many, as one
    entry of 1970 that something else stored would make them."""
    if len(stats.histogram) > MOST_BARS:
        return []
    largest = max((bar.count for bar in stats.histogram), default=0)
    shape = _SHAPES.get(stats.interval, "%Y-%m-%d")
    return [
        BarLink(
            place,
            max(HEIGHT * bar.count / largest, 3) if bar.count else 0,
            f"{bar.start.strftime(shape)}: {bar.count:,} {'entry' if bar.count == 1 else 'entries'}",
            question.within(bar.start, _end(bar.start, stats.interval)).url(),
        )
        for place, bar in enumerate(stats.histogram)
    ]


def facets_of(stats: Stats, question: Question) -> list[Facet]:
    """Fields with more than one value among what was found."""
    return [
        Facet(name, name.removesuffix("_id"), _values(name, counts, question), name in stats.approximate)
        for name, counts in stats.top.items()
        if len(counts) > 1 and name in FIELDS
    ]


def span_of(stats: Stats) -> str:
    """From when to when there are entries, and how wide a bar is."""
    if stats.first is None or stats.last is None:
        return ""
    return f"{stats.first:%Y-%m-%d %H:%M} to {stats.last:%Y-%m-%d %H:%M} UTC, by {stats.interval}"


def _values(name: str, counts: Mapping[str, int], question: Question) -> list[tuple[str, int, int, str]]:
    largest = max(counts.values())
    return [
        (value, count, round(100 * count / largest), question.also(name, value).url())
        for value, count in counts.items()
    ]


def _end(start: datetime, interval: str) -> datetime:
    if interval != "month":
        return start + INTERVALS[interval]
    return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
