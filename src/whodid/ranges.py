"""The ranges: many entries in few words, `{"8f14e45fceea167a": "3-5,9"}`, as own entries and the ledger say them.

Whoever reads them can't rely on who wrote them: what is no range is left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Places", "places", "ranges"]


class Places:
    """Entries by journal and `seq`, at eight bytes each: a person may have millions."""

    def __init__(self) -> None:
        self._seqs: dict[str, array[int]] = {}

    def add(self, journal: str, seq: int) -> None:
        self._seqs.setdefault(journal, array("Q")).append(seq)

    def __len__(self) -> int:
        return sum(map(len, self._seqs.values()))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((journal, seq) for journal, seqs in self._seqs.items() for seq in seqs)

    def written(self) -> dict[str, str]:
        """As ranges of `seq`, by journal."""
        return {journal: _written(sorted(set(seqs))) for journal, seqs in self._seqs.items()}


def places(ids: Iterable[str]) -> dict[str, str]:
    """The entries of these document IDs, as ranges of `seq`, by journal."""
    found = Places()
    for name in ids:
        journal, _, rest = name.partition("-")
        found.add(journal, int(rest.partition("-")[0]))
    return found.written()


def ranges(text: str) -> Iterator[tuple[int, int]]:
    """The first and the last number of each range in `3-5,9`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            yield int(first), int(last or first)


def _written(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
