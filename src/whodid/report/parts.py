"""The parts of a report that are read from the cluster: retention, administrative actions, readers and journals.

What readers searched for is left out on purpose: a query may contain a personal value. It is in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..cluster.ledger import Erasure, erasures
from ..entry import ranges
from ..errors import NotAuthorized
from ..retention.destruction import Destruction, destructions
from ..retention.holds import Hold, holds
from ..retention.schedule import RetentionView, retention_in_force
from ..search import AuditClient
from ..search.requests import OLDEST, sort_of
from ..settings import Settings
from ..verify import JournalVerdict, Stretch
from .period import Period

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "LISTED",
    "RETENTION_SET",
    "AdminAction",
    "AdminActions",
    "Destroyed",
    "Erased",
    "Held",
    "JournalPart",
    "Reader",
    "RetentionPart",
    "admin_actions",
    "parts_of",
    "retention_part",
]

T = TypeVar("T")

State = Literal["deleted", "missing", "gone", "due"]
"""deleted: by retention, at that time. missing: it disappeared before it was due, as noticed at that time. gone: it was
due, and no longer exists. due: it is due, and still exists."""


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that was in force during the period; `covers` are the partitions that it keeps now."""

    hold: Hold
    covers: tuple[str, ...]
    set_in_period: bool
    released_in_period: bool

    def as_json(self) -> dict[str, Any]:
        hold = self.hold
        about = {**asdict(hold), "partitions": list(hold.partitions), "in_force": hold.in_force}
        return {
            **about,
            "covers": list(self.covers),
            "set_in_period": self.set_in_period,
            "released_in_period": self.released_in_period,
        }


@dataclass(frozen=True, slots=True)
class Destroyed:
    """A partition whose retention ended in the period, or that disappeared in it, by its record in the ledger."""

    record: Destruction
    state: State
    at: str

    def as_json(self) -> dict[str, Any]:
        record, account = self.record, self.record.account
        return {
            "partition": record.partition,
            "state": self.state,
            "at": self.at,
            "due": record.due,
            "recorded": record.time,
            "entries": account.entries,
            "first": account.first,
            "last": account.last,
            "journals": [asdict(part) for part in account.journals],
            "rule": dict(record.rule),
            "snapshot": record.snapshot,
        }


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure of a person: which `fields` were removed from how many `entries`, but never a value."""

    id: str
    principal: str
    reason: str
    by: str
    time: str
    fields: tuple[str, ...]
    entries: int
    journals: int

    @classmethod
    def of(cls, page: Erasure) -> Erased:
        entries = sum(last - first + 1 for text in page.places.values() for first, last in ranges(text))
        return cls(page.id, page.principal, page.reason, page.by, page.time, page.fields, entries, len(page.places))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "fields": list(self.fields)}


@dataclass(frozen=True, slots=True)
class RetentionPart:
    """Retention and holds. A part is `None` if this user may not read it; then `notes` say so."""

    view: RetentionView
    holds: tuple[Held, ...] | None
    destroyed: tuple[Destroyed, ...] | None
    erased: tuple[Erased, ...] | None
    notes: tuple[str, ...]


def retention_part(client: AuditClient, period: Period) -> RetentionPart:
    """Reads retention and holds from the cluster. Raises `OpenSearchError`."""
    connection, settings = client.connection, client.settings
    view = retention_in_force(connection, settings)
    notes: list[str] = []
    found = _allowed(holds, connection, settings, "holds", notes)
    records = _allowed(destructions, connection, settings, "destruction records", notes)
    pages = _allowed(erasures, connection, settings, "erasure records", notes)
    present = {one.name for one in view.partitions}
    return RetentionPart(
        view=view,
        holds=None if found is None else tuple(_held(found, period, view)),
        destroyed=None if records is None else tuple(_destroyed(records, period, present)),
        erased=None if pages is None else tuple(Erased.of(page) for page in pages if period.holds(page.time)),
        notes=tuple(notes),
    )


def _allowed(
    ask: Callable[[OpenSearch, Settings], list[T]],
    connection: OpenSearch,
    settings: Settings,
    what: str,
    notes: list[str],
) -> list[T] | None:
    try:
        return ask(connection, settings)
    except NotAuthorized:
        notes.append(f"{what} were not checked: this user may not read the ledger (whodid_auditor may)")
        return None


def _held(found: Sequence[Hold], period: Period, view: RetentionView) -> list[Held]:
    known = [
        Held(
            hold,
            tuple(one.name for one in view.partitions if hold.id in one.holds),
            period.holds(hold.time),
            period.holds(hold.released),
        )
        for hold in found
        if _in_force(hold, period)
    ]
    ids = {hold.id for hold in found}
    marked = sorted({id_ for one in view.partitions for id_ in one.holds} - ids)
    return known + [_unknown(id_, view) for id_ in marked]


def _unknown(id_: str, view: RetentionView) -> Held:
    """A hold that is not in the ledger, though partitions are marked with it: the ledger was lost."""
    covers = tuple(one.name for one in view.partitions if id_ in one.holds)
    hold = Hold(id_, "unknown: partitions are marked with it, but it is not in the ledger", "", "", covers)
    return Held(hold, covers, set_in_period=False, released_in_period=False)


def _destroyed(records: Sequence[Destruction], period: Period, present: set[str]) -> list[Destroyed]:
    found = []
    for record in records:
        state: State = "due" if record.partition in present else "gone"
        state = "deleted" if record.deleted else "missing" if record.missing else state
        at = record.deleted or record.missing or record.due
        if period.holds(at):
            found.append(Destroyed(record, state, at))
    return sorted(found, key=lambda one: one.at)


def _in_force(hold: Hold, period: Period) -> bool:
    """Whether the hold was in force during the period; invalid times in a forged page hide nothing."""
    start, ended = _moment(hold.time), _moment(hold.released)
    return not (start and start >= period.until) and not (ended and ended < period.since)


def _moment(time: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


LISTED = 1000
"""Maximum number of listed actions, and of readers; the rest are counted."""

RETENTION_SET = "audit_log_retention_set"

_OWN = "audit_log_*"
_READS = {"audit_log_searched": "searched", "audit_log_viewed": "viewed", "audit_log_exported": "exported"}


@dataclass(frozen=True, slots=True)
class AdminAction:
    """One entry about the log itself. `time` is its `creation_date`."""

    entry_id: str
    time: str
    type: str
    principal: str
    target: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """How often a principal searched or counted, viewed one entry, or exported entries."""

    principal: str
    searched: int
    viewed: int
    exported: int

    @property
    def total(self) -> int:
        return self.searched + self.viewed + self.exported


@dataclass(frozen=True, slots=True)
class AdminActions:
    """Administrative actions. `counts` are entries by event type; `listed` are the first that are not reads."""

    counts: Mapping[str, int]
    listed: tuple[AdminAction, ...]
    readers: tuple[Reader, ...]

    @property
    def total(self) -> int:
        return sum(count for name, count in self.counts.items() if name not in _READS)

    def of(self, event_type: str) -> tuple[AdminAction, ...]:
        return tuple(action for action in self.listed if action.type == event_type)

    def as_json(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "total": self.total, "entries": [asdict(action) for action in self.listed]}


def admin_actions(client: AuditClient, period: Period) -> AdminActions:
    """Reads whodid's own entries of the period. Raises `OpenSearchError`."""
    counts = client.counts_by("type", period.of(type=_OWN), expired=True)
    wanted = period.of(type=_OWN) & ~period.of(type=list(_READS))
    hits = islice(client.hits(wanted, sort_of(OLDEST)), LISTED)
    return AdminActions(counts, tuple(_action(hit) for hit in hits), _readers(client, period))


def _action(hit: Mapping[str, Any]) -> AdminAction:
    entry = hit["_source"]
    details = entry.get("details")
    time, type_, principal, target = (
        str(entry.get(name, "")) for name in ("creation_date", "type", "principal", "target")
    )
    return AdminAction(str(hit["_id"]), time, type_, principal, target, details if isinstance(details, dict) else {})


def _readers(client: AuditClient, period: Period) -> tuple[Reader, ...]:
    counted = {
        word: client.counts_by("principal", period.of(type=name), limit=LISTED, expired=True)
        for name, word in _READS.items()
    }
    names = {principal for counts in counted.values() for principal in counts}
    found = [Reader(name, *(counted[word].get(name, 0) for word in _READS.values())) for name in names]
    return tuple(sorted(found, key=lambda one: (-one.total, one.principal))[:LISTED])


@dataclass(frozen=True, slots=True)
class JournalPart:
    """Entries `first` to `last` of one journal in the period; both are 0 if there are none.

    `recorded` = `stored` + `expired` + `dead_letters` + `given_up` + `damaged` + `backlog` + `missing`. `sealed` is the
    last entry that a checkpoint covers, closed at `sealed_at`; `checkpoints` is how many there are.
    """

    journal: str
    host: str
    first: int
    last: int
    recorded: int
    stored: int
    expired: int
    dead_letters: int
    given_up: int
    damaged: int
    backlog: int
    missing: int
    checkpoints: int
    sealed: int
    sealed_at: str
    stretches: tuple[Stretch, ...]

    @property
    def complete(self) -> bool:
        """Whether every entry is stored, or has an explanation."""
        return not (self.missing or self.damaged)

    def numbers(self) -> dict[str, Any]:
        """Returns the numbers of completeness, as JSON."""
        fields = {name: value for name, value in asdict(self).items() if name != "stretches"}
        return {**fields, "complete": self.complete}


def parts_of(verdicts: Iterable[JournalVerdict]) -> tuple[JournalPart, ...]:
    """Converts the verdicts, in order."""
    return tuple(_part(verdict) for verdict in verdicts)


def _part(verdict: JournalVerdict) -> JournalPart:
    """Counts each number of the period as stored, or by why it is not."""
    found = verdict.completeness
    absent = found.expired + found.dead_letters + found.dropped + found.damaged + found.backlog + found.missing
    recorded = found.stored + absent
    return JournalPart(
        journal=verdict.journal,
        host=verdict.host,
        first=found.recorded - recorded + 1 if recorded else 0,
        last=found.recorded if recorded else 0,
        recorded=recorded,
        stored=found.stored,
        expired=found.expired,
        dead_letters=found.dead_letters,
        given_up=found.dropped,
        damaged=found.damaged,
        backlog=found.backlog,
        missing=found.missing,
        checkpoints=verdict.checkpoints,
        sealed=verdict.sealed,
        sealed_at=verdict.sealed_at,
        stretches=verdict.stretches,
    )
