"""The custody: retention, holds, destructions and erasures, as sections of the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from ...retention.outlook import Partition
from ..deeds import RETENTION_SET, Deed
from ..keeping import Destroyed, Erased, Held
from ..report import Report
from .activity import details_text
from .markup import Html, badge, join, section, table, tag

__all__ = ["custody"]

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
