"""The layout: the stretches of a journal, from what was seen of its entries, what explains the others, and findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from .verdict import Finding, Stretch, StretchKind
from .walk import Run

__all__ = ["laid_out"]


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
