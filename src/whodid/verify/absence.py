"""Missing entries and their explanations, and the stretches of a journal. What nothing explains is a gap.

An entry may be missing because it became a dead letter and was not sent again, because its line was damaged before it
was sent, because its host has not shipped it yet, or because retention deleted its partition.

Invariants of retention as an explanation:
- The partition's own name says that its time was over, before a hold in force was set on it, and the partition is gone.
  A destruction record alone explains nothing.
- No more entries are explained than the checkpoint over them counts in partitions that are gone.
- The entry may have been in that partition, by the partitions of the entries around it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, get_args

from ..entry import parse_creation_date, partition_end, partition_start
from ..proof.checkpoint import Checkpoint
from ..retention.destruction import Destruction
from ..retention.holds import Hold
from .verdict import Finding, Stretch, StretchKind
from .walk import Missing, Run

__all__ = ["Absence", "Knowledge", "Rule", "explained", "laid_out"]


class Rule(NamedTuple):
    """How many days entries were kept (`None`: for ever), and until when the rule applied (`None`: it still does)."""

    days: int | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What may explain missing entries of one journal.

    `present` are the partitions that exist, with the UUIDs of their indices, and `held` those that are marked as under
    a hold; `holds` are the holds in force. Numbers of dead letters come from the checkpoints (`letters`), from this
    host (`here`), and as ranges from records that discarded them (`dropped`); `resent` are those that were stored later
    on. `shipped` and `recorded` are the last numbers that were shipped and recorded; both are `None` on other hosts.
    `checkpointed` says whether checkpoints of any journal are known.
    """

    journal: str
    prefix: str
    now: datetime
    present: Mapping[str, str]
    held: Collection[str]
    rules: Sequence[Rule]
    holds: Sequence[Hold] = ()
    destructions: Sequence[Destruction] = ()
    checkpoints: Sequence[Checkpoint] = ()
    letters: Collection[int] = frozenset()
    here: Collection[int] = frozenset()
    dropped: Sequence[tuple[int, int]] = ()
    resent: Collection[int] = frozenset()
    checkpointed: bool = False
    shipped: int | None = None
    recorded: int | None = None
    lost: Sequence[tuple[int, int, str]] = ()
    """Ranges that the host knows were lost from the journal before they were shipped, each with a description."""
    stored: Callable[[str, int, int], int] = lambda partition, first, last: 0
    """Counts the entries of the journal that a partition holds between two numbers."""

    def over(self, partition: str) -> bool:
        """Whether retention may have deleted the partition by now, or by when it was held."""
        end = partition_end(self.prefix, partition)
        holds = [hold for hold in self.holds if hold.covers(self.prefix, partition)]
        if end is None or partition in self.held or any(partition in hold.partitions for hold in holds):
            return False
        times = map(parse_creation_date, [hold.time for hold in holds])
        return self.past(end, min(filter(None, times), default=self.now))

    def past(self, end: datetime, by: datetime | None = None) -> bool:
        """Whether a rule may have deleted a partition that ended then, by now or `by` then, while it was in force."""
        by = min(self.now, by or self.now)
        return any(
            rule.days is not None and min(by, rule.until or by) - end >= timedelta(days=rule.days)
            for rule in self.rules
        )

    def gone(self, partition: str) -> bool:
        """Whether retention deleted the partition: its time is over, and it is missing or was created again."""
        if not self.over(partition):
            return False
        uuid = self.present.get(partition)
        return uuid is None or any(one.partition == partition and one.uuid != uuid for one in self.destructions)

    def deleted(self, checkpoint: Checkpoint, partition: str) -> int:
        """How many of the entries that a checkpoint counts in the partition were deleted with it."""
        if not self.gone(partition):
            return 0
        again = partition in self.present and self.stored(partition, checkpoint.first_seq, checkpoint.last_seq)
        return max(0, checkpoint.partitions[partition] - again)

    def may_hold(self, partition: str, one: Missing) -> bool:
        """Whether missing entries may have been in the partition, by those of the entries around them."""
        start, end = partition_start(self.prefix, partition), partition_end(self.prefix, partition)
        after, before = partition_end(self.prefix, one.after), partition_start(self.prefix, one.before)
        if start is None or end is None:
            return False
        return (before is None or before < end) and (after is None or start < after)


@dataclass(slots=True)
class Absence:
    """The missing entries of a journal: explained stretches, and findings for the rest."""

    stretches: list[Stretch] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


_Left = dict[int, int]
"""Checkpoint number → how many more of its entries can be explained."""


def explained(missing: Sequence[Missing], known: Knowledge) -> Absence:
    """Splits each missing range by what explains it."""
    result = Absence()
    left: _Left = {}
    unnamed = {one.number: one.dead_letters - len(one.letters) for one in known.checkpoints}
    for one in missing:
        for first, last in _without_lost(one, known, unnamed, result):
            _explain(Missing(first, last, one.before, one.after), known, left, result)
    return result


def _without_letters(one: Missing, known: Knowledge, unnamed: _Left, result: Absence) -> Iterator[tuple[int, int]]:
    """The parts of a range that are neither dead letters nor waiting on their host."""
    first, last = one.first, one.last
    if known.shipped is not None and known.recorded is not None and last > known.shipped:
        begin = max(first, known.shipped + 1)
        end = min(last, known.recorded)
        if begin <= end:
            result.stretches.append(Stretch("not yet shipped", begin, end, end - begin + 1))
        if end < last:
            yield max(end + 1, begin), last
        last = begin - 1
    spans = [(seq, seq) for seq in known.letters if first <= seq <= last]
    spans += _claimed(Missing(first, last, "", ""), known, unnamed)
    at = first
    for begin, end in sorted(spans):
        if end < at:
            continue
        begin = max(begin, at)
        if begin > at:
            yield at, begin - 1
        before = result.stretches[-1] if result.stretches else None
        if before and before.verdict == "dead letter" and before.last == begin - 1:
            result.stretches[-1] = Stretch("dead letter", before.first, end, before.entries + end - begin + 1)
        else:
            result.stretches.append(Stretch("dead letter", begin, end, end - begin + 1))
        at = end + 1
    if at <= last:
        yield at, last


def _claimed(one: Missing, known: Knowledge, unnamed: _Left) -> Iterator[tuple[int, int]]:
    """The dead letters in a range that no checkpoint names: at most as many as the checkpoint over them counts."""
    for first, last, checkpoint in (
        part
        for begin, end in _unnamed_claims(one, known)
        for part in _by_checkpoint(Missing(begin, end, "", ""), known.checkpoints)
    ):
        if checkpoint:
            count = min(last - first + 1, unnamed[checkpoint.number])
            unnamed[checkpoint.number] -= count
            yield from [(first, first + count - 1)] if count > 0 else []
        elif known.checkpointed:
            yield from ((seq, seq) for seq in known.here if first <= seq <= last)
        else:
            yield first, last


def _unnamed_claims(one: Missing, known: Knowledge) -> Iterator[tuple[int, int]]:
    """The parts of a range that this host or a record calls dead letters, each once, without those in `letters`."""
    at, named = one.first, sorted(known.letters)
    for begin, end in sorted([*known.dropped, *((seq, seq) for seq in known.here)]):
        begin, end = max(begin, at), min(end, one.last)
        for seq in named:
            if begin <= seq <= end:
                if begin < seq:
                    yield begin, seq - 1
                begin = seq + 1
        if begin <= end:
            yield begin, end
        at = max(at, end + 1)


def _without_lost(one: Missing, known: Knowledge, unnamed: _Left, result: Absence) -> Iterator[tuple[int, int]]:
    """The parts of a range that were not lost before shipping, without dead letters."""
    at = one.first
    for begin, end, about in sorted(known.lost):
        begin, end = max(begin, at), min(end, one.last)
        if begin > end:
            continue
        if begin > at:
            yield from _without_letters(Missing(at, begin - 1, one.before, one.after), known, unnamed, result)
        result.findings.append(Finding("gap", known.journal, begin, f"lost before they were shipped: {about}", end))
        at = end + 1
    if at <= one.last:
        yield from _without_letters(Missing(at, one.last, one.before, one.after), known, unnamed, result)


def _explain(one: Missing, known: Knowledge, left: _Left, result: Absence) -> None:
    """Explains a range without dead letters by retention, checkpoint by checkpoint; the rest are findings."""
    for first, last, checkpoint in _by_checkpoint(one, known.checkpoints):
        count = last - first + 1
        if checkpoint and any(begin <= first and last <= end for begin, end in checkpoint.holes):
            about = (
                "the lines were damaged, changed or missing in the journal before they were sent; `whodid status` on "
                "its host says which"
            )
            result.findings.append(Finding("altered", known.journal, first, about, last, (), checkpoint.time))
            continue
        if why := _expiry(one, first, last, checkpoint, known, left):
            result.stretches.append(Stretch("expired by policy", first, last, count, why))
            continue
        about = f"{count:,} entries are missing" if count > 1 else "the entry is missing"
        if record := next((one for one in known.destructions if _claims(one, known.journal, first, last)), None):
            why = "is not yet due, or under a hold"
            if known.over(record.partition):
                why = "does not account for all of them" if known.gone(record.partition) else "is still there"
            about += f"; a destruction record says that {record.partition} held them, which {why}"
        proven = ""
        if checkpoint:
            about += f"; checkpoint {checkpoint.number} covers them"
            proven = checkpoint.time
        result.findings.append(Finding("gap", known.journal, first, about, last, (), proven))


def _by_checkpoint(one: Missing, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[int, int, Checkpoint | None]]:
    """The range, split where checkpoints begin and end, each part with its checkpoint."""
    at = one.first
    for checkpoint in checkpoints:
        if checkpoint.entries == 0 or checkpoint.last_seq < at or checkpoint.first_seq > one.last:
            continue
        if checkpoint.first_seq > at:
            yield at, checkpoint.first_seq - 1, None
            at = checkpoint.first_seq
        end = min(one.last, checkpoint.last_seq)
        yield at, end, checkpoint
        at = end + 1
    if at <= one.last:
        yield at, one.last, None


def _expiry(one: Missing, first: int, last: int, checkpoint: Checkpoint | None, known: Knowledge, left: _Left) -> str:
    """Describes how the entries may have expired; empty if retention does not explain it."""
    count = last - first + 1
    if checkpoint and checkpoint.partitions:
        deleted = {name: number for name in checkpoint.partitions if (number := known.deleted(checkpoint, name))}
        resent = sum(first <= seq <= last for seq in known.resent)  # counted in no partition
        if resent and not any(known.may_hold(name, one) for name in deleted):
            return _by_record_or_rule(one, known) if resent == count else ""
        may_be_gone = left.setdefault(checkpoint.number, sum(deleted.values()))
        if count - resent <= may_be_gone:
            left[checkpoint.number] -= count - resent
            return _deleted_by(deleted, known)
        return ""
    return _by_record_or_rule(one, known)


def _by_record_or_rule(one: Missing, known: Knowledge) -> str:
    records = [
        record
        for record in known.destructions
        if known.gone(record.partition)
        and known.may_hold(record.partition, one)
        and any(
            part.journal == known.journal and part.first_seq <= one.first and one.last <= part.last_seq
            for part in record.account.journals
        )
    ]
    if records:
        return _deleted_by([record.partition for record in records], known)
    return _by_the_rule(one, known)


def _by_the_rule(one: Missing, known: Knowledge) -> str:
    """The explanation by the partitions of the entries around the range, if no record names its partitions."""
    begin = partition_start(known.prefix, one.after)
    if begin is None or not known.past(begin):
        return ""
    end = partition_end(known.prefix, one.before)
    if end is not None and end >= begin:
        return ""
    return "the partitions before that of the next entry were deleted by the retention rule"


def _claims(record: Destruction, journal: str, first: int, last: int) -> bool:
    return any(
        part.journal == journal and part.first_seq <= last and part.last_seq >= first
        for part in record.account.journals
    )


def _deleted_by(partitions: Collection[str] | Mapping[str, int], known: Knowledge) -> str:
    recorded = {one.partition for one in known.destructions}
    names = ", ".join(sorted(partitions))
    word = "a destruction record" if set(partitions) <= recorded else "the retention rule"
    return f"{names}: deleted by {word}"


_KINDS: dict[str, StretchKind] = {kind: kind for kind in get_args(StretchKind)}


def laid_out(
    runs: Sequence[Run], sealed: int, unknown: bool, absent: Iterable[Stretch], findings: Iterable[Finding]
) -> tuple[Stretch, ...]:
    """The stretches of a journal, in order; `sealed` is the last entry that a checkpoint covers.

    If a finding and another stretch overlap, the finding counts.
    """
    base = [*_present(runs, sealed, unknown), *absent]
    over = [
        Stretch(kind, one.seq, max(one.seq, one.last), max(one.seq, one.last) - one.seq + 1)
        for one in findings
        if one.seq and (kind := _KINDS.get(one.kind))
    ]
    found = _apart(sorted(over, key=_place))
    return _joined([*_cut(sorted(base, key=_place), found), *found])


def _place(stretch: Stretch) -> tuple[int, int]:
    return stretch.first, stretch.last


def _present(runs: Sequence[Run], sealed: int, unknown: bool) -> Iterable[Stretch]:
    for run in runs:
        for first, last, is_sealed in (
            (run.first, min(run.last, sealed), True),
            (max(run.first, sealed + 1), run.last, False),
        ):
            if first > last:
                continue
            verdict: StretchKind = "intact" if is_sealed else "unknown journal" if unknown else "not yet sealed"
            if run.mark == "erased":
                verdict = "erased"
            elif run.mark == "held" and is_sealed:
                verdict = "held"
            yield Stretch(verdict, first, last, last - first + 1)


def _apart(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The stretches without overlaps; the first one counts."""
    found: list[Stretch] = []
    at = 0
    for one in stretches:
        first = max(one.first, at + 1)
        if first <= one.last:
            found.append(Stretch(one.verdict, first, one.last, one.last - first + 1, one.about))
            at = one.last
    return found


def _cut(base: Iterable[Stretch], over: Sequence[Stretch]) -> Iterable[Stretch]:
    """The parts of `base` outside `over`. Both are sorted, and neither overlaps itself."""
    number = 0
    for one in base:
        while number and over[number - 1].last >= one.first:
            number -= 1
        first = one.first
        while number < len(over) and over[number].first <= one.last:
            other = over[number]
            if other.last >= first:
                if other.first > first:
                    yield Stretch(one.verdict, first, other.first - 1, other.first - first, one.about)
                first = other.last + 1
            number += 1
        if first <= one.last:
            yield Stretch(one.verdict, first, one.last, one.last - first + 1, one.about)


def _joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """The stretches in order; adjacent ones that say the same become one."""
    found: list[Stretch] = []
    for one in sorted(stretches, key=_place):
        before = found[-1] if found else None
        if before and (before.verdict, before.about, before.last + 1) == (one.verdict, one.about, one.first):
            found[-1] = Stretch(one.verdict, before.first, one.last, before.entries + one.entries, one.about)
        else:
            found.append(one)
    return tuple(found)
