"""The ranges: many entries in few words, `{"8f14e45fceea167a": "3-5,9"}`, as own entries and the ledger say them.

Whoever reads them can't rely on who wrote them: what is no range is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["places", "ranges"]


def places(ids: Iterable[str]) -> dict[str, str]:
    """The entries of these document IDs, as ranges of `seq`, by journal."""
    found: dict[str, list[int]] = {}
    for name in ids:
        journal, _, rest = name.partition("-")
        found.setdefault(journal, []).append(int(rest.partition("-")[0]))
    return {journal: _written(sorted(numbers)) for journal, numbers in found.items()}


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
