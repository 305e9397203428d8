"""The deeds: what was done to the audit log itself in the period, and who read it, by whodid's own entries.

What readers asked is left out on purpose: a query may hold a personal value. It is in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ..search import AuditClient
from ..search.requests import OLDEST, sort_of
from .period import Period

__all__ = ["LISTED", "RETENTION_SET", "Deed", "Deeds", "Reader", "done"]

LISTED = 1000
"""Deeds, and readers, that are listed; what is more is counted."""

RETENTION_SET = "audit_log_retention_set"

_OWN = "audit_log_*"
_READS = {"audit_log_searched": "searched", "audit_log_viewed": "viewed", "audit_log_exported": "exported"}


@dataclass(frozen=True, slots=True)
class Deed:
    """One entry about the log itself. `time` is its `creation_date`."""

    entry_id: str
    time: str
    type: str
    principal: str
    target: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """How many entries say that a principal searched or counted, looked at one entry, took entries away."""

    principal: str
    searched: int
    viewed: int
    exported: int

    @property
    def total(self) -> int:
        return self.searched + self.viewed + self.exported


@dataclass(frozen=True, slots=True)
class Deeds:
    """`counts`: own event type → entries. `listed`: the first `LISTED` of `total` that are no reads, oldest first."""

    counts: Mapping[str, int]
    listed: tuple[Deed, ...]
    readers: tuple[Reader, ...]

    @property
    def total(self) -> int:
        return sum(count for name, count in self.counts.items() if name not in _READS)

    def of(self, event_type: str) -> tuple[Deed, ...]:
        return tuple(deed for deed in self.listed if deed.type == event_type)

    def as_json(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "total": self.total, "entries": [asdict(deed) for deed in self.listed]}


def done(client: AuditClient, period: Period) -> Deeds:
    """Asks the cluster; these questions are not recorded by `client`. Raises `OpenSearchError`."""
    counts = client.counts_by("type", period.of(type=_OWN), expired=True)
    wanted = period.of(type=_OWN) & ~period.of(type=list(_READS))
    hits = islice(client.hits(wanted, sort_of(OLDEST)), LISTED)
    return Deeds(counts, tuple(_deed(hit) for hit in hits), _readers(client, period))


def _deed(hit: Mapping[str, Any]) -> Deed:
    entry = hit["_source"]
    details = entry.get("details")
    time, type_, principal, target = (
        str(entry.get(name, "")) for name in ("creation_date", "type", "principal", "target")
    )
    return Deed(str(hit["_id"]), time, type_, principal, target, details if isinstance(details, dict) else {})


def _readers(client: AuditClient, period: Period) -> tuple[Reader, ...]:
    counted = {
        word: client.counts_by("principal", period.of(type=name), limit=LISTED, expired=True)
        for name, word in _READS.items()
    }
    names = {principal for counts in counted.values() for principal in counts}
    found = [Reader(name, *(counted[word].get(name, 0) for word in _READS.values())) for name in names]
    return tuple(sorted(found, key=lambda one: (-one.total, one.principal))[:LISTED])
