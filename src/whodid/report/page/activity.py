"""The sections about activity: stored entries, administrative actions and readers; and charts as SVG.

Each chart has a text that says what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...catalog import sentence
from ...search import Stats
from ...search.stats import INTERVALS, Bar
from ...text import json_text
from ...verify import Stretch
from ..parts import AdminAction, Reader
from ..period import Period
from ..report import Report
from .markup import Html, join, section, table, tag

__all__ = ["actions", "activity", "details_text", "histogram", "share", "strip"]

_WIDTH, _HEIGHT = 1000.0, 120.0
_LEAST = 3.0
"""Minimum width of a stretch and height of a bar, so that a rare problem stays visible."""

_LOOKS = {
    **dict.fromkeys(("intact", "held", "erased"), "intact"),
    **dict.fromkeys(("not yet sealed", "not yet shipped", "dead letter"), "open"),
    "expired by policy": "expired",
}
"""How a stretch is painted; what is not here is a finding."""


def histogram(stats: Stats, period: Period) -> Html:
    """Entries over the whole period, a bar for each interval that has some."""
    largest = max((bar.count for bar in stats.histogram), default=0)
    peak = f"; the most in one {stats.interval}: {largest:,}" if largest else ""
    about = f"Entries from {_day(period.since)} to {_day(period.until)} UTC, by {stats.interval}{peak}"
    bars = (_bar(bar, stats.interval, largest, period) for bar in stats.histogram if bar.count)
    axis = tag("rect", x="0", y=_HEIGHT - 1, width=_WIDTH, height="1", class_="axis")
    return tag("figure", _svg(about, _HEIGHT, *bars, axis), tag("figcaption", about))


def strip(stretches: Sequence[Stretch], about: str) -> Html:
    """One journal, from its first entry to its last, by what can be said of each stretch."""
    return _svg(about, 20, *_segments(stretches), class_="strip")


def share(count: int, largest: int) -> Html:
    """A bar as long as this count is relative to the largest. It repeats a number, and adds nothing to it."""
    width = max(_LEAST, _WIDTH * count / max(largest, 1))
    bar = tag("rect", x="0", y="0", width=f"{width:.1f}", height="10", class_="bar")
    return tag("svg", bar, viewBox=f"0 0 {_WIDTH:g} 10", preserveAspectRatio="none", aria_hidden="true", class_="share")


def _svg(about: str, height: float, *content: object, class_: str | None = None) -> Html:
    return tag(
        "svg",
        *content,
        viewBox=f"0 0 {_WIDTH:g} {height:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=about,
        class_=class_,
    )


def _bar(bar: Bar, interval: str, largest: int, period: Period) -> Html:
    start, end = (_place(at, period) for at in (bar.start, bar.start + INTERVALS[interval]))
    height = max(_LEAST, (_HEIGHT - 10) * bar.count / largest)
    title = tag("title", f"{bar.start:%Y-%m-%d %H:%M}: {bar.count:,}")
    width = max(1.0, (end - start) * 0.88)
    return _rect(start, _HEIGHT - height, width, height, "bar", title)


def _segments(stretches: Sequence[Stretch]) -> Iterator[Html]:
    entries = sum(one.last - one.first + 1 for one in stretches)
    widths = [max(_LEAST, _WIDTH * (one.last - one.first + 1) / max(entries, 1)) for one in stretches]
    scale, at = _WIDTH / max(sum(widths), 1.0), 0.0
    for one, width in zip(stretches, widths, strict=True):
        title = tag("title", f"{one.verdict}: {one.first:,} to {one.last:,}")
        yield _rect(at, 0, width * scale, 20, f"is-{_LOOKS.get(one.verdict, 'bad')}", title)
        at += width * scale


def _rect(x: float, y: float, width: float, height: float, look: str, title: Html) -> Html:
    shape = tag("rect", x=f"{x:.1f}", y=f"{y:.1f}", width=f"{width:.1f}", height=f"{height:.1f}", class_=look)
    return tag("g", shape, title)


def _place(at: datetime, period: Period) -> float:
    part = (at - period.since) / (period.until - period.since)
    return _WIDTH * min(max(part, 0.0), 1.0)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


_LONGEST = 300
"""Characters of details that a person is shown; the JSON has all of them."""


def details_text(details: Mapping[str, Any]) -> str:
    """`reason: case 4711, step: done`."""
    parts = (f"{name}: {value if isinstance(value, str) else json_text(value)}" for name, value in details.items())
    text = ", ".join(parts)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def activity(report: Report) -> Html:
    """What was recorded, as a picture and by type."""
    stats = report.numbers
    if not stats.total:
        return section("activity", "What was recorded", tag("p", "No entry of this period is stored.", class_="none"))
    return section("activity", "What was recorded", histogram(stats, report.period), _types(stats.top["type"]))


def _types(counts: Mapping[str, int]) -> Html:
    largest = max(counts.values(), default=0)
    rows = [(tag("span", name, class_="code"), count, share(count, largest)) for name, count in counts.items()]
    return table("Stored entries of the period by event type", ("event type", "entries", "share"), rows)


def actions(report: Report) -> Html:
    """Administrative actions, and who read the log."""
    return join(_done(report), _readers(report))


def _done(report: Report) -> Html:
    found = report.actions
    rows = [_action(action) for action in found.listed]
    whole = table(
        "Administrative actions, as recorded by whodid",
        ("when (UTC)", "action", "by", "target", "details"),
        rows,
        "whodid recorded no administrative action in this period.",
    )
    more = found.total - len(found.listed)
    rest = tag("p", f"… and {more:,} more in the log.", class_="more") if more > 0 else None
    return section("done", "Administrative actions", whole, rest)


def _action(action: AdminAction) -> tuple[object, ...]:
    entry = {"type": action.type, "principal": action.principal, "target": action.target, "details": action.details}
    what = join(tag("span", action.type, class_="code"), tag("div", sentence({}, entry)))
    return action.time, what, action.principal, action.target, details_text(action.details)


def _readers(report: Report) -> Html:
    recorded = "on" if report.made.reads_recorded else "off"
    about = tag(
        "p",
        "The Audit logs tab always records reads; other programs do if the setting audit_reads is on. It was "
        f"{recorded} when this report was made. What was searched for is in the log, and left out here.",
    )
    whole = table(
        "Who read the audit log",
        ("principal", "searched or counted", "viewed one entry", "exported entries"),
        [_reader(one) for one in report.actions.readers],
        "No read was recorded in this period.",
    )
    return section("readers", "Who read it", about, whole)


def _reader(one: Reader) -> tuple[object, ...]:
    return one.principal, one.searched, one.viewed, one.exported
