"""The journals of a report: what verification found of each in the period, with numbers that add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ..verify import JournalVerdict, Stretch

__all__ = ["JournalPart", "parts_of"]


@dataclass(frozen=True, slots=True)
class JournalPart:
    """Entries `first` to `last` of one journal, as far as they are of the period; both 0 for none.

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
        """Whether everything is stored, or gone for a good reason."""
        return not (self.missing or self.damaged)

    def numbers(self) -> dict[str, Any]:
        """What its completeness is, as JSON."""
        fields = {name: value for name, value in asdict(self).items() if name != "stretches"}
        return {**fields, "complete": self.complete}


def parts_of(verdicts: Iterable[JournalVerdict]) -> tuple[JournalPart, ...]:
    """In the order of the verdicts."""
    return tuple(_part(verdict) for verdict in verdicts)


def _part(verdict: JournalVerdict) -> JournalPart:
    """Each number of the period is stored, or is counted by why it isn't; the last of them verification names."""
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
