"""The verdict: what verification found, in the field's words, and the numbers of completeness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

__all__ = [
    "Completeness",
    "Finding",
    "JournalVerdict",
    "Kind",
    "Stretch",
    "StretchKind",
    "Verification",
    "merged",
]

Kind = Literal[
    "altered",
    "gap",
    "inserted",
    "reordered",
    "forked",
    "rebuilt",
    "unknown journal",
    "unknown format",
    "untrusted",
    "silent",
    "clock set back",
]
"""altered: the content is another than was recorded. gap: entries are missing, and nothing explains it. inserted: an
entry stands there that was never recorded there. reordered: entries changed places. forked: a journal went on in two
ways, as it was copied or rolled back. rebuilt: the chain is consistent, and contradicts a checkpoint. unknown journal:
no checkpoint has ever named it. unknown format: a newer version wrote it. untrusted: a checkpoint is not signed by a
key that is trusted here, or is no checkpoint. silent: a checkpoint was due, and never came. clock set back: time went
backwards from one entry, or checkpoint, to the next."""

StretchKind = Literal[
    "intact",
    "not yet sealed",
    "erased",
    "held",
    "expired by policy",
    "dead letter",
    "not yet shipped",
    "altered",
    "gap",
    "inserted",
    "reordered",
    "forked",
    "rebuilt",
    "unknown journal",
    "unknown format",
    "clock set back",
]
"""intact: as recorded, under a checkpoint. not yet sealed: consistent, and behind the last checkpoint. erased: values
of a person were removed, as a record says. held: kept by a hold, whatever the retention is. The rest as in `Kind`, or
as it says."""

_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold, for entries `seq` to `last` of a journal; 0 where it is about no entry.

    `entries` are IDs of some of them. `proven` is when the checkpoint was closed that shows it; empty where the chain
    alone does.
    """

    kind: Kind
    journal: str
    seq: int
    about: str
    last: int = 0
    entries: tuple[str, ...] = ()
    proven: str = ""

    @property
    def place(self) -> str:
        """In words."""
        if not self.seq:
            return f"journal {self.journal}" if self.journal else "the log"
        many = f"entries {self.seq:,} to {self.last:,}" if self.last > self.seq else f"entry {self.seq:,}"
        return f"journal {self.journal}, {many}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries `first` to `last` of a journal and what can be said of them; `entries` of them are meant."""

    verdict: StretchKind
    first: int
    last: int
    entries: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Completeness:
    """Of one journal: `recorded` = `stored` + `expired` + `dead_letters` + `backlog`, and what is `missing`.

    `recorded` is the highest number known: of a checkpoint, of the journal's own host where this is it, or stored.
    `dropped` are the dead letters that somebody gave up, `damaged` the lines that were damaged before they were sent.
    `backlog` is known on the journal's own host only.
    """

    recorded: int = 0
    stored: int = 0
    expired: int = 0
    dead_letters: int = 0
    dropped: int = 0
    damaged: int = 0
    backlog: int = 0
    missing: int = 0

    @property
    def complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class JournalVerdict:
    """What was seen of one journal. `sealed` is the last entry that a checkpoint covers, closed at `sealed_at`."""

    journal: str
    host: str
    stretches: tuple[Stretch, ...]
    completeness: Completeness
    checkpoints: int = 0
    sealed: int = 0
    sealed_at: str = ""

    @property
    def entries(self) -> int:
        return self.completeness.stored


@dataclass(slots=True)
class Verification:
    """The whole answer; `intact` when nothing was found. `notes` say what could not be looked at, and how to."""

    journals: list[JournalVerdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    """IDs of the keys that checkpoints were checked with."""
    sources: tuple[str, ...] = ()
    """Where checkpoints were read from."""

    @property
    def entries(self) -> int:
        return sum(verdict.entries for verdict in self.journals)

    @property
    def intact(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "entries": self.entries, "intact": self.intact}


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by journal and place, those of one kind that are next to each other as one."""
    order = {kind: number for number, kind in enumerate(get_args(Kind))}
    found: list[Finding] = []
    for one in sorted(set(findings), key=lambda one: (one.journal, order[one.kind], one.seq, one.last)):
        before = found[-1] if found else None
        last = max(one.seq, one.last)
        if (
            before
            and one.seq
            and (before.journal, before.kind) == (one.journal, one.kind)
            and before.seq
            and one.seq <= max(before.seq, before.last) + 1
        ):
            found[-1] = Finding(
                one.kind,
                one.journal,
                before.seq,
                before.about if _same_saying(before, one) else f"{before.about}; and more of that kind",
                max(last, before.last),
                tuple(dict.fromkeys((*before.entries, *one.entries)))[:_EXAMPLES],
                min(filter(None, (before.proven, one.proven)), default=""),
            )
        else:
            found.append(Finding(one.kind, one.journal, one.seq, one.about, last, one.entries[:_EXAMPLES], one.proven))
    return sorted(found, key=lambda one: (one.journal, one.seq))


def _same_saying(before: Finding, one: Finding) -> bool:
    return before.about == one.about or before.about.endswith("; and more of that kind")
