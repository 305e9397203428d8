"""The sections about evidence and retention: findings, completeness, integrity, holds, destructions and erasures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from ...retention.schedule import Partition
from ...verify import Stretch
from ..parts import RETENTION_SET, AdminAction, Destroyed, Erased, Held, JournalPart
from ..report import Report, ReportFinding
from .activity import details_text, strip
from .markup import Html, badge, join, section, table, tag

__all__ = ["evidence", "findings", "retention"]

_PICTURED = 300
"""Maximum number of stretches of a journal in a picture."""

_GOOD = frozenset({"intact", "held", "erased", "expired by policy"})
_OPEN = frozenset({"not yet sealed", "not yet shipped", "dead letter"})


def evidence(report: Report) -> Html:
    """What the verdict is based on, and its details."""
    return join(_basis(report), _completeness(report), _integrity(report))


def findings(report: Report) -> Html:
    """The findings, and what the report does not cover."""
    rows = [
        (badge(one.kind, "bad"), _place(one), join(one.about, _examples(one)), one.proven or "by the chain alone")
        for one in report.findings
    ]
    found = table(
        "Findings of verification and retention",
        ("finding", "where", "expected and found", "proven since"),
        rows,
        "None: no entry was changed, removed, inserted or moved, and retention works as configured.",
    )
    notes = tag("ul", *(tag("li", note) for note in report.notes), class_="notes") if report.notes else None
    heading = tag("h3", "What this report does not cover") if notes else None
    return section("findings", "Findings", found, heading, notes)


def _place(one: ReportFinding) -> str:
    if one.area != "integrity":
        return one.area
    if not one.first:
        return f"journal {one.journal}" if one.journal else "the log"
    many = f"entries {one.first:,} to {one.last:,}" if one.last > one.first else f"entry {one.first:,}"
    return f"journal {one.journal}, {many}"


def _examples(one: ReportFinding) -> Html | None:
    """The IDs of affected entries."""
    return tag("small", ", ".join(one.entries), class_="code") if one.entries else None


def _basis(report: Report) -> Html:
    found = report.verification
    keys = ", ".join(found.keys) or "none: signatures were not checked"
    sources = [f"{name}{' (an outside witness)' if name in report.outside else ''}" for name in found.sources]
    facts = (
        ("Checkpoints", f"{report.checkpoints:,}"),
        ("Read from", "; ".join(sources) or "nowhere"),
        ("Keys trusted", keys),
        (
            "Witness",
            "yes" if report.outside else "none: an administrator of both could have replaced everything",
        ),
    )
    return section("basis", "What the verdict is based on", tag("dl", *(_fact(*fact) for fact in facts)))


def _fact(name: str, value: object) -> Html:
    return tag("div", tag("dt", name), tag("dd", value))


def _completeness(report: Report) -> Html:
    about = tag(
        "p",
        "For each journal: every entry recorded in the period is stored, or counted by why it is not. Recorded = "
        "stored + expired + dead letters + discarded + damaged + backlog + missing. A checkpoint covers all entries "
        "since the previous one, so these numbers are of whole checkpoints: they may begin a little before the period, "
        f"and end a little after it (before {report.verified_until:%Y-%m-%d %H:%M} UTC).",
    )
    headings = (
        "journal", "host", "entries", "recorded", "stored", "expired", "dead letters", "discarded", "damaged",
        "backlog", "missing", "",
    )  # fmt: skip
    rows = [_numbers(part) for part in sorted(report.journals, key=lambda part: part.complete)]
    found = table("Completeness by journal", headings, rows, "No entry was recorded in this period.")
    return section("completeness", "Completeness", about, found)


def _numbers(part: JournalPart) -> tuple[object, ...]:
    verdict = badge("complete", "good") if part.complete else badge("incomplete", "bad")
    return (
        tag("span", part.journal, class_="code"),
        part.host or "unknown",
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

_UNKNOWN = "Unknown: this user may not read the ledger."
_STATES = {
    "deleted": "deleted",
    "missing": "disappeared before it was due",
    "gone": "no longer exists, as it was due",
    "due": "due, and still exists",
}


def retention(report: Report) -> Html:
    """Retention, holds, destructions and erasures."""
    return join(_retention(report), _holds(report), _destructions(report), _erasures(report))


def _retention(report: Report) -> Html:
    view = report.retention.view
    rule = tag("p", _rule(report))
    partitions = table(
        "Existing partitions",
        ("partition", "created", "entries expire from", "deleted by", "holds", "problem"),
        [_partition(one) for one in view.partitions],
        "There are no partitions.",
    )
    changes = table(
        "Changes of retention in the period",
        ("when (UTC)", "by", "policy", "to"),
        [_change(action) for action in report.actions.of(RETENTION_SET)],
        "Retention was not changed by whodid in this period.",
    )
    return section("retention", "Retention", rule, partitions, changes)


def _rule(report: Report) -> str:
    view = report.retention.view
    if view.still_deleted:
        return (
            "The cluster has no retention policy of whodid. Index State Management still deletes partitions "
            f"({view.still_deleted}) by its copies of an earlier policy; nothing deletes new ones."
        )
    if view.enforced_by == "nothing":
        return "The cluster has no retention policy of whodid, and nothing deletes old entries."
    if view.floor_days is None:
        return "Retention is off: entries are kept for ever."
    by = {
        "ism": "Index State Management of OpenSearch, under whodid's policy",
        "whodid": "whodid itself, as this cluster has no Index State Management",
    }[view.enforced_by]
    return (
        f"Each entry is kept for at least {view.floor_days:,} and at most {view.ceiling_days:,} days, unless a hold "
        f"keeps it longer; then it is deleted by {by}. This retention is in force now."
    )


def _partition(one: Partition) -> tuple[object, ...]:
    problem = badge(one.problem, "bad") if one.problem else ""
    return one.name, _day(one.created), _day(one.floor), _day(one.ceiling), ", ".join(one.holds), problem


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "never"


def _change(action: AdminAction) -> tuple[object, ...]:
    rest = {name: value for name, value in action.details.items() if name not in {"retention", "policy"}}
    to = f"{action.details.get('retention', '')} {details_text(rest)}".strip()
    return action.time, action.principal, action.target, to


def _known(rows: Sequence[T] | None, empty: str) -> tuple[Sequence[T], str]:
    return ((), _UNKNOWN) if rows is None else (rows, empty)


def _holds(report: Report) -> Html:
    rows, empty = _known(report.retention.holds, "No hold was in force in this period.")
    found = table(
        "Holds in force during the period",
        ("hold", "reason", "keeps", "set", "released", "covers now"),
        [_hold(one) for one in rows],
        empty,
    )
    return section("holds", "Holds", found)


def _hold(one: Held) -> tuple[object, ...]:
    hold = one.hold
    released = f"{hold.released} by {hold.released_by}: {hold.why_released}" if hold.released else badge("in force")
    put = f"{hold.time} by {hold.by}" if hold.time else "unknown"
    return tag("span", hold.id, class_="code"), hold.reason, hold.meant(), put, released, ", ".join(one.covers)


def _destructions(report: Report) -> Html:
    rows, empty = _known(report.retention.destroyed, "The ledger has no partition deleted in this period.")
    found = table(
        "Partitions deleted in the period, according to the ledger",
        ("partition", "when (UTC)", "how", "entries", "of", "due", "rule", "snapshot"),
        [_destruction(one) for one in rows],
        empty,
    )
    return section("destructions", "Destructions", found)


def _destruction(one: Destroyed) -> tuple[object, ...]:
    record, account = one.record, one.record.account
    span = f"{account.first} to {account.last}" if account.entries else ""
    rule = details_text(record.rule)
    state = badge(_STATES[one.state], "bad" if one.state in {"due", "missing"} else "")
    return record.partition, one.at, state, account.entries, span, record.due, rule, record.snapshot or "none"


def _erasures(report: Report) -> Html:
    rows, empty = _known(report.retention.erased, "No person was erased in this period.")
    found = table(
        "Persons erased in the period",
        ("erasure", "principal", "reason", "when (UTC)", "by", "entries", "fields"),
        [_erasure(one) for one in rows],
        empty,
    )
    return section("erasures", "Erasures", found)


def _erasure(one: Erased) -> tuple[object, ...]:
    id_ = tag("span", one.id, class_="code")
    return id_, one.principal, one.reason, one.time, one.by, one.entries, ", ".join(one.fields)
