"""The keeping: what is promised of entries, what holds keep, and what was destroyed or erased in the period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..cluster.ledger import Erasure, erasures
from ..entry import ranges
from ..errors import NotAuthorized
from ..retention.destruction import Destruction, destructions
from ..retention.holds import Hold, holds
from ..retention.outlook import RetentionView, retention_in_force
from ..search import AuditClient
from ..settings import Settings
from .period import Period

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Destroyed", "Erased", "Held", "Keeping", "kept"]

T = TypeVar("T")

State = Literal["deleted", "gone", "due"]
"""deleted: by whodid, at that time. gone: it was due, and is not there any more. due: it is there all the same."""


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that was in force at some time of the period. `covers`: partitions that it keeps now."""

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
    """A partition whose time ended in the period, by its record in the ledger."""

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
    """Whose values were removed from how many `entries`, which `fields`, why, by whom and when; never a value."""

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
class Keeping:
    """`None` where this user may not know; then `notes` say so."""

    retention: RetentionView
    holds: tuple[Held, ...] | None
    destroyed: tuple[Destroyed, ...] | None
    erased: tuple[Erased, ...] | None
    notes: tuple[str, ...]


def kept(client: AuditClient, period: Period) -> Keeping:
    """Asks the cluster, read rights being enough. Raises `OpenSearchError`."""
    connection, settings = client.connection, client.settings
    view = retention_in_force(connection, settings)
    notes: list[str] = []
    found = _allowed(holds, connection, settings, "holds", notes)
    records = _allowed(destructions, connection, settings, "records of destruction", notes)
    pages = _allowed(erasures, connection, settings, "records of erasures", notes)
    present = {one.name for one in view.partitions}
    return Keeping(
        retention=view,
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
        notes.append(f"{what} were not looked at: this user may not read the ledger (whodid_auditor may)")
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
    """One that only marks on partitions know: the ledger was lost, or they came from elsewhere."""
    covers = tuple(one.name for one in view.partitions if id_ in one.holds)
    hold = Hold(id_, "not known: partitions are marked with it, and it is not in the ledger", "", "", covers)
    return Held(hold, covers, set_in_period=False, released_in_period=False)


def _destroyed(records: Sequence[Destruction], period: Period, present: set[str]) -> list[Destroyed]:
    found = []
    for record in records:
        state: State = "deleted" if record.deleted else "due" if record.partition in present else "gone"
        at = record.deleted or record.due
        if period.holds(at):
            found.append(Destroyed(record, state, at))
    return sorted(found, key=lambda one: one.at)


def _in_force(hold: Hold, period: Period) -> bool:
    """Whether it was at some time of the period; times that are none, as somebody made the page up, hide nothing."""
    begun, ended = _moment(hold.time), _moment(hold.released)
    return not (begun and begun >= period.until) and not (ended and ended < period.since)


def _moment(time: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
