"""The walk through a range of a journal's numbers: checks each entry against its hash and the entry before it.

By the chain an entry vouches for all entries before it, and a checkpoint vouches for the entry that it names. A chain
that is whole up to a trusted checkpoint is therefore as it was when the checkpoint was closed.

The entries right before and after a slice are looked at, too, so that slices can be walked independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, get_args

from ..entry import ZERO_HASH, Partitioning, document_id, partition_name, why_unreadable
from ..integrity import entry_hash
from .verdict import Finding, Kind

__all__ = ["Anchor", "Missing", "Run", "Slice", "Walked", "walk"]

_BACK = timedelta(seconds=60)
"""How far time may go back from one entry to the next: a writer reads the clock before it waits for the lock."""
_MOST_RUNS = 10_000
_new = tuple.__new__


class Anchor(NamedTuple):
    """The hash that a checkpoint states for one entry, the name of the checkpoint, and when it was closed.

    There are several hashes if forked checkpoints cover the entry, as it is unknown which one is right.
    """

    hashes: frozenset[str]
    who: str
    time: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries `first` to `last` of a journal, and what is known of them.

    `anchors` and `letters` (hashes of dead letters) are by `seq`, in the slice and right before it. `erased` are ranges
    in which values were removed on record. `held` are the partitions under a hold.
    """

    journal: str
    first: int
    last: int
    anchors: Mapping[int, Anchor] = field(default_factory=dict)
    letters: Mapping[int, str] = field(default_factory=dict)
    erased: tuple[tuple[int, int], ...] = ()
    held: frozenset[str] = frozenset()
    prefix: str = ""
    """The prefix of partitions; if it is empty, the partition of an entry is not checked."""


class Missing(NamedTuple):
    """Entries `first` to `last` are not stored. `before` and `after` are the partitions of the entries around them."""

    first: int
    last: int
    before: str
    after: str


class Run(NamedTuple):
    """Consecutive entries with the same mark: empty, `erased` or `held`."""

    mark: str
    first: int
    last: int


@dataclass(slots=True)
class Walked:
    """The result of a slice. `good` and `bad` are the numbers of entries that match an anchor, and that don't."""

    journal: str
    first: int
    last: int
    entries: int = 0
    """The number of documents, copies and forks included."""
    present: int = 0
    """How many numbers have an entry."""
    partition: str = ""
    """The partition of its first entry."""
    findings: list[Finding] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    good: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)


class _Doc(NamedTuple):
    """One document; `wrong` describes a hash mismatch."""

    id: str
    partition: str
    hash: str
    prev: str
    wrong: str
    unreadable: str
    time: str
    erased: bool
    date: str


@dataclass(slots=True)
class _Group:
    """The documents with one number; `altered` if one was found altered, so that it is not reported twice."""

    seq: int
    docs: list[_Doc]
    altered: bool = False

    @property
    def hashes(self) -> set[str]:
        return {doc.hash for doc in self.docs}


def walk(job: Slice, hits: Iterable[Mapping[str, Any]]) -> Walked:
    """Checks a slice; `hits` are those of `job.first` - 1 to `job.last` + 1, in order."""
    return _Walk(job).through(hits)


class _Walk:
    def __init__(self, job: Slice) -> None:
        self._job = job
        self._walked = Walked(job.journal, job.first, job.last)
        self._before: _Group | None = None
        """The group checked last."""
        self._places: dict[tuple[str, str], bool] = {}
        self._branch: set[str] = set()
        """Hashes of entries at which the journal may fork."""
        self._at = job.first - 1
        """The last number that was checked, or is known to be missing."""

    def through(self, hits: Iterable[Mapping[str, Any]]) -> Walked:
        job = self._job
        pending: _Group | None = None
        for group in self._groups(hits):
            if pending is not None:
                self._judge(pending, group)
            pending = group
        if pending is not None:
            self._judge(pending, None)
        if self._at < job.last:
            self._miss(self._at + 1, job.last, "")
        return self._walked

    @staticmethod
    def _groups(hits: Iterable[Mapping[str, Any]]) -> Iterator[_Group]:
        group: _Group | None = None
        for hit in hits:
            seq, doc = hit["sort"][0], _examined(hit, hit["_source"])
            if group is not None and group.seq == seq:
                group.docs.append(doc)
                continue
            if group is not None:
                yield group
            group = _Group(seq, [doc])
        if group is not None:
            yield group

    def _judge(self, group: _Group, after: _Group | None) -> None:
        """Checks the entries of one number; `after` is the next group."""
        job, seq, before = self._job, group.seq, self._before
        if self._continues(group):
            return
        if seq < job.first:  # belongs to the slice before
            group.altered = self._content(group, report=False)
            self._before, self._at = group, seq
            return
        if seq > job.last:
            return
        if seq > self._at + 1:
            self._miss(self._at + 1, seq - 1, group.docs[0].partition)
            before = None
        previous = self._previous(seq, before)
        first = group.docs[0]
        self._walked.entries += len(group.docs)
        self._walked.present += 1
        self._walked.partition = self._walked.partition or first.partition
        anchor = job.anchors.get(seq)
        plain = (
            len(group.docs) == 1
            and not first.wrong
            and not first.unreadable
            and first.id == f"{job.journal}-{seq:012d}-{first.hash[:16]}"
        )
        if not plain:
            group.docs.sort()
            group.altered = self._content(group, report=True)
            self._choose(group, previous, after, anchor)
        if previous is not None and not group.altered and not any(doc.prev in previous for doc in group.docs):
            self._broken(group, before, after)
        if anchor:
            self._anchored(group, anchor)
        self._in_its_partition(group)
        self._clock(group, before)
        self._mark(seq, first)
        self._before, self._at = group, seq

    def _continues(self, group: _Group) -> bool:
        """The fast path for nearly all entries: one document, as recorded, which follows a similar one."""
        job, seq, before, docs = self._job, group.seq, self._before, group.docs
        if before is None or len(docs) > 1 or len(before.docs) > 1 or before.seq + 1 != seq or before.altered:
            return False
        doc, other = docs[0], before.docs[0]
        if doc.prev != other.hash or doc.wrong or doc.unreadable or doc.erased or seq in job.anchors:
            return False
        if doc.partition != other.partition or doc.date[:10] != other.date[:10] or doc.time < other.time:
            return False
        runs = self._walked.runs
        if not runs or runs[-1].mark == "erased" or not job.first <= seq <= job.last:
            return False
        if doc.id != f"{job.journal}-{seq:012d}-{doc.hash[:16]}":
            return False
        self._walked.entries += 1
        self._walked.present += 1
        runs[-1] = _new(Run, (runs[-1].mark, runs[-1].first, seq))
        self._before, self._at = group, seq
        return True

    def _previous(self, seq: int, before: _Group | None) -> set[str] | None:
        """The hashes that `prev` may name; `None` if that is unknown."""
        if seq == 1:
            return {ZERO_HASH}
        if before is not None and before.seq == seq - 1:
            return before.hashes
        letter = self._job.letters.get(seq - 1)
        if letter:
            return {letter}
        anchor = self._job.anchors.get(seq - 1)
        return set(anchor.hashes) if anchor else None

    def _content(self, group: _Group, *, report: bool) -> bool:
        """Whether a document of the group was altered; reports that, and documents with a wrong ID."""
        seq, altered = group.seq, False
        counts: dict[str, int] = {}
        for doc in group.docs:
            counts[doc.hash] = counts.get(doc.hash, 0) + 1
            if doc.unreadable:
                self._report("unknown format", seq, doc, f"it can't be checked: {doc.unreadable}", report)
            elif doc.wrong:
                altered = True
                self._report("altered", seq, doc, doc.wrong, report)
        for doc in group.docs:
            right = document_id(self._job.journal, seq, doc.hash)
            if doc.id == right or doc.wrong or doc.unreadable:
                continue
            if counts[doc.hash] > 1:
                self._report("inserted", seq, doc, "a copy of this entry is stored under another ID", report)
            elif doc.id.rpartition("-")[0] == right.rpartition("-")[0]:
                altered = True
                about = f"the entry of this ID was replaced by another, with hash {doc.hash[:16]}…"
                self._report("altered", seq, doc, about, report)
            else:
                self._report("reordered", seq, doc, "it is stored in the place of another entry", report)
        if report:
            for hash_, count in counts.items():
                same = [doc for doc in group.docs if doc.hash == hash_]
                if count > 1 and all(doc.id == same[0].id for doc in same):
                    self._report("inserted", seq, same[1], "a copy of this entry is stored in another partition")
        return altered

    def _choose(self, group: _Group, previous: set[str] | None, after: _Group | None, anchor: Anchor | None) -> None:
        """Decides which of several entries with one number was recorded, and reports the others."""
        hashes = group.hashes
        if len(hashes) < 2:
            return
        named = {doc.prev for doc in after.docs} if after is not None and after.seq == group.seq + 1 else set()
        chosen = hashes & (named | (anchor.hashes if anchor else set()))
        if not chosen and previous is not None:
            chosen = {doc.hash for doc in group.docs if doc.prev in previous}
        chosen = chosen or hashes
        if len(chosen) > 1:
            about = "two entries have this number: the journal was copied, or rolled back and continued"
            self._report("forked", group.seq, group.docs[0], about)
        for doc in group.docs:
            if doc.hash in chosen or doc.wrong:
                continue
            if doc.hash in named or doc.prev in self._branch:
                about = "another entry has this number: the journal was copied, or rolled back and continued"
                self._report("forked", group.seq, doc, about)
                self._branch.add(doc.hash)
            else:
                self._report(
                    "inserted", group.seq, doc, "another entry has this number, and no entry links to this one"
                )
        if len(chosen) > 1:
            self._branch |= chosen
        group.docs = [doc for doc in group.docs if doc.hash in chosen]

    def _broken(self, group: _Group, before: _Group | None, after: _Group | None) -> None:
        """Reports a broken link: the entry before was altered if this one is vouched for, otherwise this one."""
        seq, doc = group.seq, group.docs[0]
        named = doc.prev[:16]
        if before is None or before.seq != seq - 1:
            about = (
                "it is the first, but names a previous entry"
                if seq == 1
                else f"it names {named}… as the previous entry"
            )
            self._report("altered", seq, doc, about)
        elif before.altered:
            return
        elif seq - 1 in self._job.anchors and self._job.anchors[seq - 1].hashes & before.hashes:
            self._report(
                "altered", seq, doc, f"it names {named}… as the previous entry, but a checkpoint vouches for another"
            )
            group.altered = True
        elif self._vouched(group, after):
            about = f"the next entry names {named}… as the previous one, not this hash: the hash was changed to match"
            self._report("altered", before.seq, before.docs[0], about)
        else:
            self._report("inserted", seq, doc, "it does not link to the previous entry, and no later entry links to it")
            group.altered = True

    def _vouched(self, group: _Group, after: _Group | None) -> bool:
        """Whether the next entry, or a checkpoint, names this one."""
        anchor = self._job.anchors.get(group.seq)
        named = {doc.prev for doc in after.docs} if after is not None and after.seq == group.seq + 1 else set()
        return bool(group.hashes & (named | (anchor.hashes if anchor else set())))

    def _anchored(self, group: _Group, anchor: Anchor) -> None:
        if anchor.hashes & group.hashes:
            self._walked.good.append(group.seq)
        elif not group.altered:
            self._walked.bad.append(group.seq)

    def _in_its_partition(self, group: _Group) -> None:
        """Reports an entry in a wrong partition, as it would be deleted at another time."""
        doc = group.docs[0]
        place = doc.date[:10], doc.partition
        known = self._places.get(place)
        if known is None:
            known = self._places[place] = _belongs(self._job.prefix, doc)
        if not known and not group.altered:
            about = f"it is stored in {doc.partition}, which is not the partition of {doc.date}"
            self._report("reordered", group.seq, doc, about)

    def _clock(self, group: _Group, before: _Group | None) -> None:
        if before is None or before.seq != group.seq - 1:
            return
        earlier, later = before.docs[0].time, group.docs[0].time
        if later >= earlier or group.altered or before.altered:
            return
        try:
            back = datetime.fromisoformat(earlier) - datetime.fromisoformat(later)
        except (ValueError, TypeError):
            return
        if back > _BACK:
            about = f"it is dated {later}, and the previous entry {earlier}: the clock of its host was set back"
            self._report("clock set back", group.seq, group.docs[0], about)

    def _mark(self, seq: int, doc: _Doc) -> None:
        mark = ""
        if doc.erased:
            mark = "erased"
            if not doc.wrong and not any(first <= seq <= last for first, last in self._job.erased):
                about = "values were removed from it, but no record under a trusted checkpoint allows that"
                self._report("altered", seq, doc, about)
        elif doc.partition in self._job.held:
            mark = "held"
        runs = self._walked.runs
        if runs and runs[-1].last == seq - 1 and (runs[-1].mark == mark or len(runs) > _MOST_RUNS):
            runs[-1] = Run(runs[-1].mark, runs[-1].first, seq)
        else:
            runs.append(Run(mark, seq, seq))

    def _miss(self, first: int, last: int, after: str) -> None:
        first = max(first, self._job.first)
        if first <= last:
            before = self._before.docs[0].partition if self._before else ""
            self._walked.missing.append(Missing(first, last, before, after))

    def _report(self, kind: Kind, seq: int, doc: _Doc, about: str, report: bool = True) -> None:
        if report:
            self._walked.findings.append(Finding(kind, self._job.journal, seq, about, seq, (doc.id,)))


def _belongs(prefix: str, doc: _Doc) -> bool:
    """Whether the index is the partition of the entry's date, for any partition length."""
    lengths: tuple[Partitioning, ...] = get_args(Partitioning)
    try:
        return not prefix or doc.partition in {partition_name(prefix, length, doc.date) for length in lengths}
    except ValueError:
        return False


def _examined(hit: Mapping[str, Any], entry: dict[str, Any]) -> _Doc:
    """Reads one search hit, and compares content and hash."""
    unreadable = why_unreadable(entry) or ""
    stored, erased = str(entry.get("hash")), bool(entry.get("erased"))
    prev, time, date = str(entry.get("prev")), str(entry.get("@timestamp")), str(entry.get("creation_date"))
    wrong = ""
    if not unreadable:
        try:
            actual = entry_hash(entry)
            if actual != stored:
                wrong = f"hash mismatch: {stored[:16]}… was recorded, the content has {actual[:16]}…"
        except (ValueError, TypeError, RecursionError) as error:
            wrong = f"its content can't be hashed: {error}"
    return _new(_Doc, (hit["_id"], hit["_index"], stored, prev, wrong, unreadable, time, erased, date))
