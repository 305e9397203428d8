"""The activity: what was recorded, what was done to the log itself, and who read it, as sections of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...text import json_text
from ..deeds import Deed, Reader
from ..report import Report
from .chart import histogram, share
from .markup import Html, join, section, table, tag

__all__ = ["activity", "deeds", "details_text"]

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


def deeds(report: Report) -> Html:
    """What was done to the log, and who read it."""
    return join(_done(report), _readers(report))


def _done(report: Report) -> Html:
    found = report.deeds
    rows = [_deed(deed) for deed in found.listed]
    whole = table(
        "What was done to the audit log, as whodid recorded it",
        ("when (UTC)", "what", "by", "target", "details"),
        rows,
        "Nothing was done to the audit log in this period, as far as it was done by whodid.",
    )
    more = found.total - len(found.listed)
    rest = tag("p", f"… and {more:,} more of them in the log.", class_="more") if more > 0 else None
    return section("done", "What was done to the log itself", whole, rest)


def _deed(deed: Deed) -> tuple[object, ...]:
    what = tag("span", deed.type, class_="code")
    return deed.time, what, deed.principal, deed.target, details_text(deed.details)


def _readers(report: Report) -> Html:
    recorded = "on" if report.made.reads_recorded else "off"
    about = tag(
        "p",
        "Reads are recorded by the Audit logs tab, and elsewhere where the setting audit_reads is on; it was "
        f"{recorded} where this report was made. What they asked is in the log, and left out here.",
    )
    whole = table(
        "Who read the audit log",
        ("principal", "searched or counted", "looked at one entry", "took entries away"),
        [_reader(one) for one in report.deeds.readers],
        "No read was recorded in this period.",
    )
    return section("readers", "Who read it", about, whole)


def _reader(one: Reader) -> tuple[object, ...]:
    return one.principal, one.searched, one.viewed, one.exported
