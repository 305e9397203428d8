"""The evidence: findings, what the verdict rests on, completeness and integrity, as sections of the page.

The custody: retention, holds, destructions and erasures, as sections of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from ...retention.schedule import Partition
from ...verify import Stretch
from ..report import Report, ReportFinding
from ..retention import RETENTION_SET, Deed, Destroyed, Erased, Held, JournalPart
from .activity import details_text, strip
from .markup import Html, badge, join, section, table, tag

__all__ = ["custody", "evidence", "findings"]

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


T = TypeVar("T")

_UNKNOWN = "Not known: this user may not read the ledger."
_STATES = {"deleted": "deleted", "gone": "gone, as it was due", "due": "due, and still there"}


def custody(report: Report) -> Html:
    """How entries are kept, and why some are not."""
    return join(_retention(report), _holds(report), _destructions(report), _erasures(report))


def _retention(report: Report) -> Html:
    view = report.keeping.retention
    rule = tag("p", _rule(report))
    partitions = table(
        "Partitions that are there",
        ("partition", "made", "entries go from", "all gone on", "holds", "problem"),
        [_partition(one) for one in view.partitions],
        "No partition is there.",
    )
    changes = table(
        "Changes of retention in the period",
        ("when (UTC)", "by", "policy", "to"),
        [_change(deed) for deed in report.deeds.of(RETENTION_SET)],
        "Retention was not changed by whodid in this period.",
    )
    return section("retention", "Retention", rule, partitions, changes)


def _rule(report: Report) -> str:
    view = report.keeping.retention
    if view.still_deleted:
        return (
            "The cluster has no retention policy of whodid. Index State Management still deletes partitions "
            f"({view.still_deleted}) by the copies of one that it keeps; nothing deletes new ones."
        )
    if view.enforced_by == "nothing":
        return "The cluster has no retention policy of whodid, and nothing deletes old entries."
    if view.floor_days is None:
        return "Retention is off: entries are kept until somebody deletes them."
    by = {
        "ism": "Index State Management of OpenSearch, under whodid's policy",
        "whodid": "whodid itself, as this cluster has no Index State Management",
    }[view.enforced_by]
    return (
        f"Each entry lives at least {view.floor_days:,} days and at most {view.ceiling_days:,}, unless a hold keeps "
        f"it; what is past that is deleted by {by}. This is what is in force now."
    )


def _partition(one: Partition) -> tuple[object, ...]:
    problem = badge(one.problem, "bad") if one.problem else ""
    return one.name, _day(one.created), _day(one.floor), _day(one.ceiling), ", ".join(one.holds), problem


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "never"


def _change(deed: Deed) -> tuple[object, ...]:
    rest = {name: value for name, value in deed.details.items() if name not in {"retention", "policy"}}
    to = f"{deed.details.get('retention', '')} {details_text(rest)}".strip()
    return deed.time, deed.principal, deed.target, to


def _known(rows: Sequence[T] | None, empty: str) -> tuple[Sequence[T], str]:
    return ((), _UNKNOWN) if rows is None else (rows, empty)


def _holds(report: Report) -> Html:
    rows, empty = _known(report.keeping.holds, "No hold was in force in this period.")
    found = table(
        "Holds in force at some time of the period",
        ("hold", "reason", "keeps", "set", "released", "covers now"),
        [_hold(one) for one in rows],
        empty,
    )
    return section("holds", "Holds", found)


def _hold(one: Held) -> tuple[object, ...]:
    hold = one.hold
    released = f"{hold.released} by {hold.released_by}: {hold.why_released}" if hold.released else badge("in force")
    put = f"{hold.time} by {hold.by}" if hold.time else "not known"
    return tag("span", hold.id, class_="code"), hold.reason, hold.meant(), put, released, ", ".join(one.covers)


def _destructions(report: Report) -> Html:
    rows, empty = _known(report.keeping.destroyed, "No record says that a partition went in this period.")
    found = table(
        "Partitions that went in the period, by their records in the ledger",
        ("partition", "when (UTC)", "how", "entries", "of", "due", "rule", "snapshot"),
        [_destruction(one) for one in rows],
        empty,
    )
    return section("destructions", "Destructions", found)


def _destruction(one: Destroyed) -> tuple[object, ...]:
    record, account = one.record, one.record.account
    span = f"{account.first} to {account.last}" if account.entries else ""
    rule = details_text(record.rule)
    state = badge(_STATES[one.state], "bad" if one.state == "due" else "")
    return record.partition, one.at, state, account.entries, span, record.due, rule, record.snapshot or "none"


def _erasures(report: Report) -> Html:
    rows, empty = _known(report.keeping.erased, "Nobody's values were removed in this period.")
    found = table(
        "Persons whose values were removed in the period",
        ("erasure", "principal", "reason", "when (UTC)", "by", "entries", "fields"),
        [_erasure(one) for one in rows],
        empty,
    )
    return section("erasures", "Erasures", found)


def _erasure(one: Erased) -> tuple[object, ...]:
    id_ = tag("span", one.id, class_="code")
    return id_, one.principal, one.reason, one.time, one.by, one.entries, ", ".join(one.fields)
