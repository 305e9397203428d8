"""The absence: why entries are not stored, where something explains it; what is left over is a gap.

An entry may be gone because it became a dead letter, because its line was damaged before it was sent, because it waits
on its host, or because retention deleted its partition. The last is believed only where retention can have done so: the
partition is past its time by its own name, and is gone. A record of destruction that says otherwise explains nothing.

The layout: the stretches of a journal, from what was seen of its entries, what explains the others, and findings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, get_args

from ..entry import partition_end, partition_start
from ..proof.checkpoint import Checkpoint
from ..retention.destruction import Destruction, JournalPart
from .verdict import Finding, Stretch, StretchKind
from .walk import Missing, Run

__all__ = ["Absence", "Knowledge", "Rule", "explained", "laid_out"]


class Rule(NamedTuple):
    """How many days entries were kept (`None`: for ever), and until when; `None` where that is so still."""

    days: int | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What may explain an absence in one journal.

    `present`: partitions that are there, `held`: those that a hold keeps. `rules`: how long entries were kept, and
    until when. `letters`: numbers of dead letters by the checkpoints; `here`: by this host; `dropped`: ranges of those
    given up, by a record. `shipped` is how far the journal's own host or a checkpoint says that it was shipped, and
    `recorded` what the host holds; `None` on other hosts. `sealing`: whether checkpoints are known, of any journal.
    """

    journal: str
    prefix: str
    now: datetime
    present: Collection[str]
    held: Collection[str]
    rules: Sequence[Rule]
    destructions: Sequence[Destruction] = ()
    checkpoints: Sequence[Checkpoint] = ()
    letters: Collection[int] = frozenset()
    here: Collection[int] = frozenset()
    dropped: Sequence[tuple[int, int]] = ()
    sealing: bool = False
    shipped: int | None = None
    recorded: int | None = None
    lost: Sequence[tuple[int, int, str]] = ()
    """Ranges that the host knows to be gone from the journal before they were shipped, and what it says of each."""

    def over(self, partition: str) -> bool:
        """Whether retention may have deleted that partition by now."""
        end = partition_end(self.prefix, partition)
        return end is not None and self.past(end)

    def past(self, end: datetime) -> bool:
        """Whether a retention that was in force may have deleted what ended then, while it was in force."""
        return any(
            rule.days is not None and end + timedelta(days=rule.days) <= min(self.now, rule.until or self.now)
            for rule in self.rules
        )

    def gone(self, partition: str) -> bool:
        """Whether it did: its time is over, and it is not there, or one of that name was made anew."""
        if not self.over(partition) or partition in self.held:
            return False
        return partition not in self.present or any(one.partition == partition for one in self.destructions)


@dataclass(slots=True)
class Absence:
    """What became of the entries that are not stored, in stretches, and what nothing explains."""

    stretches: list[Stretch] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


_Left = dict[int, int]
"""By the number of a checkpoint: how many more of its entries something may explain."""


def explained(missing: Sequence[Missing], known: Knowledge) -> Absence:
    """Takes each range apart by what explains it."""
    result = Absence()
    left: _Left = {}
    unnamed = {one.number: one.dead_letters - len(one.letters) for one in known.checkpoints}
    for one in missing:
        for first, last in _without_lost(one, known, unnamed, result):
            _explain(Missing(first, last, one.before, one.after), known, left, result)
    return result


def _without_letters(one: Missing, known: Knowledge, unnamed: _Left, result: Absence) -> Iterator[tuple[int, int]]:
    """The parts of a range that are no dead letters, and wait on no host."""
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
    """What is said to be a dead letter, in a range: under a checkpoint, as many as it counts and does not name."""
    for first, last, checkpoint in (
        part
        for begin, end in _unnamed_claims(one, known)
        for part in _by_checkpoint(Missing(begin, end, "", ""), known.checkpoints)
    ):
        if checkpoint:
            count = min(last - first + 1, unnamed[checkpoint.number])
            unnamed[checkpoint.number] -= count
            yield from [(first, first + count - 1)] if count > 0 else []
        elif known.sealing:
            yield from ((seq, seq) for seq in known.here if first <= seq <= last)
        else:
            yield first, last


def _unnamed_claims(one: Missing, known: Knowledge) -> Iterator[tuple[int, int]]:
    """The parts of a range that this host or a record calls dead letters, each once, but for those in `letters`."""
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
    """The parts of a range that never left their host, either."""
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
    """A range without dead letters: what retention explains of it, checkpoint by checkpoint, and what it doesn't."""
    for part in _by_checkpoint(one, known.checkpoints):
        first, last, checkpoint = part
        count = last - first + 1
        if hole := _hole(first, last, checkpoint):
            about = (
                "the lines were damaged, changed or missing in the journal before they were sent; `whodid status` on "
                "its host says which"
            )
            proven = checkpoint.time if checkpoint else ""
            result.findings.append(Finding("altered", known.journal, hole[0], about, hole[1], (), proven))
            continue
        if why := _expiry(one, first, last, checkpoint, known, left):
            result.stretches.append(Stretch("expired by policy", first, last, count, why))
            continue
        about = f"{count:,} entries are missing" if count > 1 else "the entry is missing"
        claims = [record for record in known.destructions if _claims(record, known.journal, first, last)]
        if claims:
            record = claims[0]
            about += (
                f"; a record of destruction says that {record.partition} held them, but the time of that partition is "
                "not over"
                if not known.over(record.partition)
                else f"; a record of destruction says that {record.partition} held them, and it is still there"
            )
        proven = ""
        if checkpoint:
            about += f"; checkpoint {checkpoint.number} has them"
            proven = checkpoint.time
        result.findings.append(Finding("gap", known.journal, first, about, last, (), proven))


def _by_checkpoint(one: Missing, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[int, int, Checkpoint | None]]:
    """The range, cut where checkpoints end."""
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


def _hole(first: int, last: int, checkpoint: Checkpoint | None) -> tuple[int, int] | None:
    """The range, if the checkpoint says that exactly there lines were damaged."""
    for begin, end in checkpoint.holes if checkpoint else ():
        if begin <= first and last <= end:
            return first, last
    return None


def _expiry(one: Missing, first: int, last: int, checkpoint: Checkpoint | None, known: Knowledge, left: _Left) -> str:
    """By what the entries may have expired, in words; empty where retention does not explain it."""
    count = last - first + 1
    if checkpoint and checkpoint.partitions:
        gone = {name: held for name, held in checkpoint.partitions.items() if known.gone(name)}
        may_be_gone = left.setdefault(checkpoint.number, sum(gone.values()))
        if count <= may_be_gone:
            left[checkpoint.number] -= count
            return _by(gone, known)
        return ""
    records = [
        record
        for record in known.destructions
        if known.gone(record.partition)
        and any(part.journal == known.journal and _covers(part, one) for part in record.account.journals)
    ]
    if records:
        return _by([record.partition for record in records], known)
    return _by_the_rule(one, known)


def _by_the_rule(one: Missing, known: Knowledge) -> str:
    """Where nothing says in which partitions they were: the entries around them say between which these lay."""
    begin = partition_start(known.prefix, one.after)
    if begin is None or not known.past(begin):
        return ""
    end = partition_end(known.prefix, one.before)
    if end is not None and end >= begin:
        return ""
    return "the partitions before the next entry's went by the retention rule"


def _covers(part: JournalPart, one: Missing) -> bool:
    return part.first_seq <= one.first and one.last <= part.last_seq


def _claims(record: Destruction, journal: str, first: int, last: int) -> bool:
    return any(
        part.journal == journal and part.first_seq <= last and part.last_seq >= first
        for part in record.account.journals
    )


def _by(partitions: Collection[str] | Mapping[str, int], known: Knowledge) -> str:
    recorded = {one.partition for one in known.destructions}
    names = ", ".join(sorted(partitions))
    word = "a record of destruction" if set(partitions) <= recorded else "the retention rule"
    return f"{names} went by {word}"


def laid_out(
    runs: Sequence[Run], sealed: int, unknown: bool, absent: Iterable[Stretch], findings: Iterable[Finding]
) -> tuple[Stretch, ...]:
    """In the order of the entries' numbers; `sealed` is the last one that a checkpoint covers.

    Where findings and the rest overlap, the finding counts.
    """
    base = [*_present(runs, sealed, unknown), *absent]
    over = [
        Stretch(kind, one.seq, max(one.seq, one.last), max(one.seq, one.last) - one.seq + 1)
        for one in findings
        if one.seq and (kind := _kind(one)) is not None
    ]
    return _joined(
        [*_cut(sorted(base, key=_place), _apart(sorted(over, key=_place))), *_apart(sorted(over, key=_place))]
    )


def _place(stretch: Stretch) -> tuple[int, int]:
    return stretch.first, stretch.last


def _kind(finding: Finding) -> StretchKind | None:
    kinds: tuple[StretchKind, ...] = get_args(StretchKind)
    return next((kind for kind in kinds if kind == finding.kind), None)


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
    """Without overlaps: what comes first counts."""
    found: list[Stretch] = []
    at = 0
    for one in stretches:
        first = max(one.first, at + 1)
        if first <= one.last:
            found.append(Stretch(one.verdict, first, one.last, one.last - first + 1, one.about))
            at = one.last
    return found


def _cut(base: Iterable[Stretch], over: Sequence[Stretch]) -> Iterable[Stretch]:
    """What is left of `base` beside `over`; both in order, neither overlapping in itself."""
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
    """In order, with those that say the same and touch as one."""
    found: list[Stretch] = []
    for one in sorted(stretches, key=_place):
        before = found[-1] if found else None
        if before and (before.verdict, before.about, before.last + 1) == (one.verdict, one.about, one.first):
            found[-1] = Stretch(one.verdict, before.first, one.last, before.entries + one.entries, one.about)
        else:
            found.append(one)
    return tuple(found)
