"""The evidence: findings, what the verdict rests on, completeness and integrity, as sections of the page."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify import Stretch
from ..journals import JournalPart
from ..report import Report, ReportFinding
from .chart import strip
from .markup import Html, badge, join, section, table, tag

__all__ = ["evidence", "findings"]

_PICTURED = 300
"""Stretches of a journal, more than which make no picture."""

_GOOD = frozenset({"intact", "held", "erased", "expired by policy"})
_OPEN = frozenset({"not yet sealed", "not yet shipped", "dead letter"})


def evidence(report: Report) -> Html:
    """What the verdict rests on, and what it is in detail."""
    return join(_basis(report), _completeness(report), _integrity(report))


def findings(report: Report) -> Html:
    """What is not as it should be, and what the report can't say."""
    rows = [
        (badge(one.kind, "bad"), _place(one), join(one.about, _examples(one)), one.proven or "by the chain alone")
        for one in report.findings
    ]
    found = table(
        "What is not as it should be",
        ("finding", "where", "expected and found", "proven since"),
        rows,
        "None: nothing was found to be changed, removed, inserted or moved, and retention keeps what it promises.",
    )
    notes = tag("ul", *(tag("li", note) for note in report.notes), class_="notes") if report.notes else None
    heading = tag("h3", "What this report does not show") if notes else None
    return section("findings", "Findings", found, heading, notes)


def _place(one: ReportFinding) -> str:
    if one.area != "integrity":
        return one.area
    if not one.first:
        return f"journal {one.journal}" if one.journal else "the log"
    many = f"entries {one.first:,} to {one.last:,}" if one.last > one.first else f"entry {one.first:,}"
    return f"journal {one.journal}, {many}"


def _examples(one: ReportFinding) -> Html | None:
    """IDs of entries that it is about."""
    return tag("small", ", ".join(one.entries), class_="code") if one.entries else None


def _basis(report: Report) -> Html:
    found = report.verification
    keys = ", ".join(found.keys) or "none: signatures were not checked"
    sources = [f"{name}{' (an outside witness)' if name in report.outside else ''}" for name in found.sources]
    facts = (
        ("Checkpoints", f"{report.checkpoints:,}"),
        ("Read from", "; ".join(sources) or "nowhere"),
        ("Keys trusted", keys),
        ("Witness", "yes" if report.outside else "none: who administers both host and cluster could have replaced all"),
    )
    return section("basis", "What the verdict rests on", tag("dl", *(_fact(*fact) for fact in facts)))


def _fact(name: str, value: object) -> Html:
    return tag("div", tag("dt", name), tag("dd", value))


def _completeness(report: Report) -> Html:
    about = tag(
        "p",
        "For each journal: what was recorded in the period is stored, or it is said why not. Recorded = stored + "
        "expired + dead letters + given up + damaged + backlog + missing. A checkpoint vouches for all "
        "entries since the one before it, so these numbers are of whole checkpoints: they may begin a little before "
        f"the period, and end a little after it (before {report.verified_until:%Y-%m-%d %H:%M} UTC).",
    )
    headings = (
        "journal", "host", "entries", "recorded", "stored", "expired", "dead letters", "given up", "damaged", "backlog",
        "missing", "",
    )  # fmt: skip
    rows = [_numbers(part) for part in sorted(report.journals, key=lambda part: part.complete)]
    found = table("Completeness by journal", headings, rows, "No entry was recorded in this period.")
    return section("completeness", "Completeness", about, found)


def _numbers(part: JournalPart) -> tuple[object, ...]:
    verdict = badge("complete", "good") if part.complete else badge("incomplete", "bad")
    return (
        tag("span", part.journal, class_="code"),
        part.host or "not known",
        f"{part.first:,} to {part.last:,}" if part.first else "none",
        part.recorded,
        part.stored,
        part.expired,
        part.dead_letters,
        part.given_up,
        part.damaged,
        part.backlog,
        part.missing,
        verdict,
    )


def _integrity(report: Report) -> Html:
    rows = [row for part in report.journals for row in _stretches(part)]
    headings = ("journal", "entries", "how many", "verdict", "why")
    found = table("Stretches by verdict", headings, rows, "No entry was recorded in this period.")
    pictures = [_picture(part) for part in report.journals if 0 < len(part.stretches) <= _PICTURED][:_PICTURED]
    return section("integrity", "Integrity", *pictures, found)


def _picture(part: JournalPart) -> Html:
    about = f"Journal {part.journal}, entries {part.first:,} to {part.last:,}"
    words = sorted({one.verdict for one in part.stretches})
    label = f"{about}: {', '.join(words)}"
    return tag("figure", strip(part.stretches, label), tag("figcaption", label), class_="journal")


def _stretches(part: JournalPart) -> Iterator[tuple[object, ...]]:
    for one in part.stretches:
        about = one.about or (f"checkpoint closed at {part.sealed_at}" if one.verdict == "intact" else "")
        place = f"{one.first:,} to {one.last:,}" if one.last > one.first else f"{one.first:,}"
        yield tag("span", part.journal, class_="code"), place, one.entries, badge(one.verdict, _look(one)), about


def _look(one: Stretch) -> str:
    return "good" if one.verdict in _GOOD else "" if one.verdict in _OPEN else "bad"
