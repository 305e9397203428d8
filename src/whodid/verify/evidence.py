"""The evidence: what the cluster says besides the entries themselves: retention, holds, destructions, letters dropped.

Retention that somebody changed, letters that were given up and journals that retired are read from the audit log
itself, so whoever forges them has to forge the chain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..client import AuditClient
from ..client.order import OLDEST, sort_of
from ..errors import NotAuthorized, OpenSearchError, SettingsError
from ..opensearch.destruction import Destruction, destructions
from ..opensearch.erasures import ERASED, erased_places, erasures
from ..opensearch.partitions import creation_dates, marks
from ..opensearch.retention import retention_in_force
from ..query import Filter
from ..ranges import ranges
from ..settings import retention_days

__all__ = ["Evidence", "LocalJournal", "gathered"]


@dataclass(frozen=True, slots=True)
class LocalJournal:
    """What the journal's own host knows: the last `recorded` and `shipped` numbers, those that are dead letters.

    `missing` are ranges that were gone from the journal before they were shipped, each with what is said of it.
    """

    journal: str
    recorded: int
    shipped: int
    letters: frozenset[int] = frozenset()
    missing: tuple[tuple[int, int, str], ...] = ()


@dataclass(slots=True)
class Evidence:
    """`dropped`: ranges of dead letters given up, by journal. `quiet`: journals whose silence was announced."""

    present: frozenset[str]
    held: frozenset[str]
    shortest: int | None
    destructions: Sequence[Destruction]
    dropped: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    quiet: frozenset[str] = frozenset()
    erased: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Ranges of entries of which values were removed on record, by journal."""
    notes: list[str] = field(default_factory=list)


def gathered(client: AuditClient) -> Evidence:
    """Asks the cluster. Raises `OpenSearchError`; what this user may not see is noted."""
    connection, settings = client.connection, client.settings
    notes = []
    try:
        records: Sequence[Destruction] = destructions(connection, settings)
    except NotAuthorized:
        records = ()
        notes.append("records of destruction were not looked at: this user may not read the ledger")
    try:
        held = frozenset(marks(connection, settings))
    except NotAuthorized:
        held = frozenset()
        notes.append("holds were not looked at: this user may not read mappings")
    try:
        erased = erased_places(
            erasures(connection, settings),
            [str(_details(entry).get("digest")) for entry in _own(client, ERASED)],
        )
    except NotAuthorized:
        erased = {}
    retentions = [retention_days(settings.retention), *_retentions(client)]
    shortest = min((days for days in retentions if days is not None), default=None)
    notes += _policy_note(client, shortest)
    dropped: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for entry in _own(client, "audit_log_dead_letters_dropped"):
        places = _details(entry).get("entries")
        for journal, text in places.items() if isinstance(places, dict) else ():
            dropped[str(journal)] += ranges(str(text))
    retired = frozenset(str(entry.get("target")) for entry in _own(client, "audit_log_journal_retired"))
    return Evidence(
        present=frozenset(creation_dates(connection, settings)),
        held=held,
        shortest=shortest,
        destructions=records,
        dropped=dict(dropped),
        quiet=retired,
        erased=erased,
        notes=notes,
    )


def _policy_note(client: AuditClient, shortest: int | None) -> Iterator[str]:
    """What the cluster keeps is no evidence: who wants entries gone could have changed it for a day."""
    try:
        kept = retention_in_force(client.connection, client.settings).floor_days
    except OpenSearchError as error:
        yield f"the cluster's own retention was not looked at: {error}"
        return
    if kept is not None and (shortest is None or kept < shortest):
        wanted = "for ever" if shortest is None else f"{shortest} days"
        what = (
            f"the cluster keeps entries {kept} days, and by the settings here and the log's own records they are kept"
        )
        advice = (
            f"If it was meant, verify with --retention {kept}d" if kept else "`whodid retention set` puts that right"
        )
        yield f"{what} {wanted}: what went before that is missing. {advice}"


def _retentions(client: AuditClient) -> Iterator[int | None]:
    """Those that somebody set, ever."""
    for entry in _own(client, "audit_log_retention_set"):
        try:
            yield retention_days(str(_details(entry).get("retention")))
        except SettingsError:
            continue


def _own(client: AuditClient, event_type: str) -> Iterator[dict[str, Any]]:
    for hit in client.hits(Filter.of(type=event_type), sort_of(OLDEST)):
        yield hit["_source"]


def _details(entry: dict[str, Any]) -> dict[str, Any]:
    details = entry.get("details")
    return details if isinstance(details, dict) else {}
