"""Verification: are the chains whole, as they stand in OpenSearch?

Walks each journal in the order of `seq` and checks each entry's hash, its `_id`, and its link to the one before. What
is missing at the beginning because retention deleted it is not an alarm; anything else that is missing is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Literal

from .client import AuditClient
from .entry import ZERO_HASH, document_id, partition_start, why_unreadable
from .integrity import entry_hash
from .query import Filter
from .settings import retention_days

__all__ = ["Finding", "JournalVerdict", "Verification", "verify_stored"]

Kind = Literal["altered", "gap", "forked", "broken link", "wrong id", "unknown format"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: at which place of which journal, what was expected and what was found."""

    kind: Kind
    journal: str
    seq: int
    about: str


@dataclass(slots=True)
class JournalVerdict:
    """What was seen of one journal: entries `first` to `last`; those before `first` expired by policy."""

    journal: str
    entries: int = 0
    first: int = 0
    last: int = 0
    expired: int = 0


@dataclass(slots=True)
class Verification:
    """The whole answer; `intact` when nothing was found."""

    journals: list[JournalVerdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def entries(self) -> int:
        return sum(verdict.entries for verdict in self.journals)

    @property
    def intact(self) -> bool:
        return not self.findings


def verify_stored(
    client: AuditClient, *, journal: str | None = None, on_progress: Callable[[int], None] = lambda done: None
) -> Verification:
    """Checks every chain stored in OpenSearch, or one. `on_progress` is told how many entries were checked.

    Raises `OpenSearchError`. Memory stays flat.
    """
    hits = client.hits(Filter.of(journal=journal), _ORDER)
    verification = Verification()
    done = 0
    for name, chain in groupby(hits, key=lambda hit: hit["_source"].get("journal")):
        walk = _Walk(str(name), retention_days(client.settings.retention), client.settings.index_prefix)
        for hit in chain:
            verification.findings += walk.step(hit)
            done += 1
            if done % 1000 == 0:
                on_progress(done)
        verification.journals.append(walk.verdict)
    on_progress(done)
    if journal is not None and not verification.journals:
        about = "no entry of this journal is stored: the ID is wrong, or all of it was removed"
        verification.findings.append(Finding("gap", journal, 1, about))
    return verification


_ORDER = [{"journal": "asc"}, {"seq": "asc"}, {"hash": "asc"}, {"_index": "asc"}, {"_doc": "asc"}]
"""The last two make a copy of an entry under another `_id` a hit of its own, at the end of a page as well.

`_shard_doc` would do that in one, but OpenSearch 2.19 doesn't know it.
"""


class _Walk:
    """One journal, entry by entry."""

    def __init__(self, journal: str, retention: int | None, prefix: str) -> None:
        self.verdict = JournalVerdict(journal)
        self._prefix = prefix
        self._retention = retention
        self._hashes: frozenset[str] = frozenset({ZERO_HASH})
        """Hashes that the next entry's `prev` may have: one, unless the journal was forked."""

    def step(self, hit: dict[str, Any]) -> list[Finding]:
        entry = hit["_source"]
        seq = entry.get("seq")
        seq = seq if type(seq) is int else 0
        found = [*self._content(hit, entry, seq), *self._place(hit, entry, seq)]
        self._advance(entry, seq)
        return found

    def _content(self, hit: dict[str, Any], entry: dict[str, Any], seq: int) -> Iterator[Finding]:
        if why := why_unreadable(entry):  # what its hash covers isn't known here
            yield self._finding("unknown format", seq, f"whether it was altered can't be told: {why}")
            return
        try:
            actual = entry_hash(entry)
        except (ValueError, TypeError, RecursionError) as error:
            yield self._finding("altered", seq, f"its content can't be hashed: {error}")
            return
        stored = str(entry.get("hash"))
        if actual != stored:
            yield self._finding("altered", seq, f"hash {stored[:16]}… was recorded, the content has {actual[:16]}…")
        if hit["_id"] != document_id(self.verdict.journal, seq, stored):
            yield self._finding("wrong id", seq, f"it is stored as {hit['_id']}, which belongs to other content")

    def _place(self, hit: dict[str, Any], entry: dict[str, Any], seq: int) -> Iterator[Finding]:
        verdict = self.verdict
        if verdict.entries == 0:
            if seq > 1 and self._is_expired(hit):
                verdict.expired = seq - 1
            elif seq > 1:
                yield self._finding("gap", 1, f"entries 1 to {seq - 1} are missing, and are too young to have expired")
            elif seq == 1 and entry.get("prev") != ZERO_HASH:
                yield self._finding("broken link", seq, "it is the first, but names an entry before it")
        elif seq == verdict.last:
            yield self._finding("forked", seq, "two entries have this place: the journal was copied or rolled back")
        elif seq > verdict.last + 1:
            yield self._finding("gap", verdict.last + 1, f"entries {verdict.last + 1} to {seq - 1} are missing")
        elif str(entry.get("prev")) not in self._hashes:
            yield self._finding("broken link", seq, f"prev is {str(entry.get('prev'))[:16]}…, not the hash before it")

    def _advance(self, entry: dict[str, Any], seq: int) -> None:
        verdict = self.verdict
        verdict.first = verdict.first or seq
        hash_ = str(entry.get("hash"))
        self._hashes = self._hashes | {hash_} if seq == verdict.last else frozenset({hash_})
        verdict.last = seq
        verdict.entries += 1

    def _is_expired(self, first: dict[str, Any]) -> bool:
        """Whether what came before `first` may be gone.

        Retention deletes whole partitions, so what it deleted lay in one that ended where that of `first` begins, or
        earlier; and it may do so only once that end is older than the retention.
        """
        start = partition_start(self._prefix, str(first.get("_index")))
        if self._retention is None or start is None:
            return False
        return start < datetime.now(UTC) - timedelta(days=self._retention)

    def _finding(self, kind: Kind, seq: int, about: str) -> Finding:
        return Finding(kind, self.verdict.journal, seq, about)
