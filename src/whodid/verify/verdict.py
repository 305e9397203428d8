"""The verdict of a verification: findings, stretches of entries, and the numbers of completeness."""

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
"""altered: the content differs from what was recorded. gap: entries are missing without an explanation. inserted: an
entry is stored that was never recorded in this place. reordered: entries changed places. forked: a journal continues in
two ways, as it was copied or rolled back. rebuilt: the chain is consistent, but contradicts a checkpoint. unknown
journal: no checkpoint names it. unknown format: a newer version wrote it. untrusted: a checkpoint can't be read, or is
not signed by a trusted key. silent: a checkpoint is overdue. clock set back: the time of an entry, or a checkpoint, is
before that of the previous one."""

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
"""intact: as recorded, and covered by a checkpoint. not yet sealed: consistent, and after the last checkpoint. erased:
values of a person were removed, as a record says. held: kept by a hold despite the retention. Others: see `Kind`."""

_EXAMPLES = 10
_MORE = "; and more of that kind"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with entries `seq` to `last` of a journal; both are 0 if it is about no entry.

    `entries` are the IDs of some of them. `proven` is the time of the checkpoint that proves it; empty if only the
    chain does.
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
        """Names the journal and the entries."""
        if not self.seq:
            return f"journal {self.journal}" if self.journal else "the log"
        many = f"entries {self.seq:,} to {self.last:,}" if self.last > self.seq else f"entry {self.seq:,}"
        return f"journal {self.journal}, {many}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive entries of a journal with the same verdict; it applies to `entries` of them."""

    verdict: StretchKind
    first: int
    last: int
    entries: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many entries of one journal were recorded, and where they are.

    `recorded` is the highest known number: stored, of a checkpoint, or on the journal's own host. `dropped` are
    discarded dead letters, `damaged` are lines that were damaged before they were sent. `backlog` is known only on the
    journal's own host.
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
    """The verdict on one journal. `sealed` is the last entry that a checkpoint covers, closed at `sealed_at`."""

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
    """The whole result; `intact` if there are no findings. `notes` say what could not be checked."""

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
    """The findings by journal and place; adjacent findings of one kind become one."""
    order = {kind: number for number, kind in enumerate(get_args(Kind))}
    found: list[Finding] = []
    for one in sorted(set(findings), key=lambda one: (one.journal, order[one.kind], one.seq, one.last)):
        before = found[-1] if found else None
        last = max(one.seq, one.last)
        same = before and one.seq and before.seq and (before.journal, before.kind) == (one.journal, one.kind)
        if before and same and one.seq <= max(before.seq, before.last) + 1:
            found[-1] = Finding(
                one.kind,
                one.journal,
                before.seq,
                before.about if one.about == before.about or before.about.endswith(_MORE) else before.about + _MORE,
                max(last, before.last),
                tuple(dict.fromkeys((*before.entries, *one.entries)))[:_EXAMPLES],
                min(filter(None, (before.proven, one.proven)), default=""),
            )
        else:
            found.append(Finding(one.kind, one.journal, one.seq, one.about, last, one.entries[:_EXAMPLES], one.proven))
    return sorted(found, key=lambda one: (one.journal, one.seq))
