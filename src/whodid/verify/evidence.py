"""Evidence besides the entries: retention, holds, destructions, erasures, dead letters, retired journals.

Changes of retention, holds, dead letters that were discarded or sent again, retired journals and erased persons are
read from the audit log itself. Such an entry counts only if it is proven: its hash must match its content, and the
chain or the Merkle root must lead from it to a trusted checkpoint. To explain away missing entries, an attacker would
have to forge the chain. If no checkpoint is known at all, a matching hash is enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..cluster.ledger import ERASED, erased_places, erasures
from ..cluster.partitions import marks, uuids
from ..entry import entry_id, parse_creation_date, ranges
from ..errors import NotAuthorized, OpenSearchError, ProofError, SettingsError
from ..retention.destruction import Destruction, destructions
from ..retention.holds import Hold, holds
from ..retention.schedule import retention_in_force
from ..search import AuditClient, Filter
from ..search.requests import OLDEST, sort_of
from ..settings import retention_days
from ..text import FOREIGN
from .absence import Rule
from .checkpoints import TrustedCheckpoints
from .inclusion import Prover, as_recorded

__all__ = ["Evidence", "LocalJournal", "gathered"]

_DROPPED, _RETENTION = "audit_log_dead_letters_dropped", "audit_log_retention_set"
_RESENT, _RETIRED = "audit_log_dead_letters_retried", "audit_log_journal_retired"
_HELD, _RELEASED = "audit_log_hold_set", "audit_log_hold_released"


@dataclass(frozen=True, slots=True)
class LocalJournal:
    """What a journal's own host knows: the last numbers `recorded` and `shipped`, and its dead letters.

    `missing` are ranges that were lost from the journal before they were shipped, each with a description.
    """

    journal: str
    recorded: int
    shipped: int
    letters: frozenset[int] = frozenset()
    missing: tuple[tuple[int, int, str], ...] = ()


@dataclass(slots=True)
class Evidence:
    """What was gathered. `present` are the partitions that exist, with the UUIDs of their indices.

    `held` are those that are marked as under a hold, and `holds` the holds in force. `dropped` and `resent` are ranges
    of dead letters by journal that were discarded, or sent again and stored; `retired` is the last entry of each
    retired journal.
    """

    present: Mapping[str, str]
    held: frozenset[str]
    holds: Sequence[Hold]
    rules: Sequence[Rule]
    destructions: Sequence[Destruction]
    dropped: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    resent: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)
    erased: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Ranges of entries from which values were removed on record, by journal."""
    notes: list[str] = field(default_factory=list)


def gathered(client: AuditClient, trusted: TrustedCheckpoints) -> Evidence:
    """Reads the evidence from the cluster. Raises `OpenSearchError`; what this user may not read is noted."""
    connection, settings = client.connection, client.settings
    notes: list[str] = []
    try:
        records: Sequence[Destruction] = destructions(connection, settings)
    except NotAuthorized:
        records = ()
        notes.append("destruction records were not checked: this user may not read the ledger")
    try:
        held = frozenset(marks(connection, settings))
    except NotAuthorized:
        held = frozenset()
        notes.append("holds were not checked: this user may not read mappings")
    own = _proven(client, trusted, notes)
    try:
        digests = [str(_details(entry).get("digest")) for entry in own[ERASED]]
        erased = erased_places(erasures(connection, settings), digests)
    except NotAuthorized:
        erased = {}
    rules = _rules(retention_days(settings.retention), own[_RETENTION])
    notes += _policy_note(client, rules)
    return Evidence(
        present=uuids(connection, settings),
        held=held,
        holds=_holds(client, own[_HELD], [str(one.get("target")) for one in own[_RELEASED]], rules, notes),
        rules=rules,
        destructions=records,
        dropped=_places(own[_DROPPED]),
        resent=_places(own[_RESENT]),
        retired=_retired(own[_RETIRED]),
        erased=erased,
        notes=notes,
    )


_Entry = dict[str, Any]


_TYPES = [_DROPPED, _RESENT, _RETENTION, _RETIRED, ERASED, _HELD, _RELEASED]


def _proven(client: AuditClient, trusted: TrustedCheckpoints, notes: list[str]) -> dict[str, list[_Entry]]:
    """The proven entries that may explain something, by type; the number of unproven ones is noted.

    The release of a hold counts at once, as retention may delete within the hour; a made-up one is a finding itself.
    """
    prover, prefix = Prover(client, trusted), client.settings.index_prefix
    found, others = defaultdict[str, list[_Entry]](list), 0
    for hit in client.hits(Filter.of(type=_TYPES), sort_of(OLDEST)):
        entry = hit["_source"]
        own = entry.get("type") in _TYPES and hit["_id"] == entry_id(entry) and as_recorded(entry)
        if own and (entry["type"] == _RELEASED or _is_proven(entry, trusted, prover, prefix)):
            found[entry["type"]].append(entry)
        else:
            others += 1
    if others:
        notes.append(
            f"{others:,} records of erasures, dead letters, retention, holds or retired journals do not count: no "
            "trusted checkpoint covers them (one is closed every hour, and when the shipper is stopped)"
        )
    return found


def _is_proven(entry: _Entry, trusted: TrustedCheckpoints, prover: Prover, prefix: str) -> bool:
    if not trusted.by_journal:
        return True
    signed = trusted.undisputed(entry["journal"], entry["seq"], prefix)
    if signed is None:
        return False
    try:
        prover.path(signed, entry["hash"], entry["seq"])  # reads a checkpoint's entries once for all of its records
    except ProofError:
        return prover.leads(signed.checkpoint, entry)
    return True


def _holds(
    client: AuditClient, were_set: Sequence[_Entry], released: Collection[str], rules: Sequence[Rule], notes: list[str]
) -> list[Hold]:
    """Those in force by the log itself, and by the ledger, from which somebody may have removed some.

    That one was released is believed of an entry, and of the ledger once retention may have deleted the entry.
    """
    prefix, now = client.settings.index_prefix, datetime.now(UTC)
    recorded = {
        str(entry.get("target")): entry for entry in were_set if _details(entry).get("index_prefix", prefix) == prefix
    }
    ended = {*released}
    found: list[Hold] = []
    try:
        for hold in holds(client.connection, client.settings):
            moment = parse_creation_date(hold.released)
            if hold.in_force and hold.id not in recorded:
                found.append(hold)
            if moment and any(rule.days is not None and now - moment > timedelta(rule.days + 31) for rule in rules):
                ended.add(hold.id)
    except OpenSearchError as error:
        notes.append(f"the ledger's holds were not checked: {error}")
    found += [_hold(name, entry) for name, entry in recorded.items() if name not in ended]
    return [hold for hold in found if _is_clear(hold)]


def _hold(name: str, entry: _Entry) -> Hold:
    details = _details(entry)
    names = details.get("partitions")
    since, until = (str(details.get(end, "")) for end in ("since", "until"))
    partitions = tuple(map(str, names)) if isinstance(names, list) else ()
    return Hold(name, "", "", str(entry.get("creation_date")), partitions, since, until)


def _is_clear(hold: Hold) -> bool:
    """Whether its partitions and times can be read."""
    try:
        times = [datetime.fromisoformat(text) for text in (hold.since, hold.until) if text]
        return all(time.tzinfo for time in times) and parse_creation_date(hold.time) is not None
    except FOREIGN:
        return False


def _places(entries: Sequence[_Entry]) -> dict[str, list[tuple[int, int]]]:
    """The ranges of entries that each names, by journal."""
    found = defaultdict[str, list[tuple[int, int]]](list)
    for entry in entries:
        places = _details(entry).get("entries")
        for journal, text in places.items() if isinstance(places, dict) else ():
            found[str(journal)] += ranges(str(text))
    return dict(found)


def _retired(entries: Sequence[_Entry]) -> dict[str, int]:
    last = ((str(entry.get("target")), _details(entry).get("last_seq")) for entry in entries)
    return {journal: seq if type(seq) is int else 0 for journal, seq in last}


def _rules(days: int | None, entries: Sequence[_Entry]) -> list[Rule]:
    """The rule of the settings, and each retention on record with the time when it was replaced."""
    rules, before = [Rule(days, None)], ""
    for entry in sorted(entries, key=lambda entry: str(entry.get("creation_date"))):
        moment, details = parse_creation_date(str(entry.get("creation_date"))), _details(entry)
        if moment is None:
            continue
        rules += _rule(before or details.get("was"), moment)
        before = str(details.get("retention"))
    return [*rules, *_rule(before, None)]


def _rule(text: object, until: datetime | None) -> Iterator[Rule]:
    try:
        yield Rule(retention_days(str(text)), until)
    except SettingsError:
        return


def _policy_note(client: AuditClient, rules: Sequence[Rule]) -> Iterator[str]:
    """A note if the cluster's retention is shorter. It is no evidence: an attacker could have changed it for a day."""
    try:
        kept = retention_in_force(client.connection, client.settings).floor_days
    except OpenSearchError as error:
        yield f"the cluster's own retention was not checked: {error}"
        return
    shortest = min((rule.days for rule in rules if rule.days is not None and rule.until is None), default=None)
    if kept is not None and (shortest is None or kept < shortest):
        wanted = "for ever" if shortest is None else f"{shortest} days"
        advice = f"If that is intended, verify with --retention {kept}d" if kept else "Fix it by `whodid retention set`"
        yield (
            f"the cluster keeps entries for {kept} days, but the settings and the log's own records say {wanted}: "
            f"entries deleted earlier count as missing. {advice}"
        )


def _details(entry: _Entry) -> _Entry:
    details = entry.get("details")
    return details if isinstance(details, dict) else {}
