"""The difference: what changed between `before` and `after`, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ..integrity import MAX_DEPTH
from ..text import json_text, printable

__all__ = ["Line", "difference"]


class Line(NamedTuple):
    """One key, with dots between those of objects in objects; values as text, `None` where there is none."""

    key: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> Literal["same", "added", "removed", "changed"]:
        if self.before == self.after:
            return "same"
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """Every key of either, what differs first; beyond the levels that an entry may have, a value is shown whole."""
    old, new = dict(_flat(before)), dict(_flat(after))
    lines = [_line(key, old, new) for key in dict.fromkeys([*old, *new])]
    return sorted(lines, key=lambda line: line.kind == "same")


def _line(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Line:
    """Texts stand without quotes, unless `1` and `"1"` would then look alike."""
    values = [side[key] for side in (old, new) if key in side]
    alike = len(values) > 1 and len(set(map(_text, values))) == 1
    before, after = (
        (json_text(side[key]) if alike else _text(side[key])) if key in side else None for side in (old, new)
    )
    return Line(key, before, after) if before != after else Line(key, *map(_text, values))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _flat(image: Mapping[str, Any], path: str = "", level: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in image.items():
        if isinstance(value, Mapping) and value and level <= MAX_DEPTH:
            yield from _flat(value, f"{path}{printable(key)}.", level + 1)
        else:
            yield f"{path}{printable(key)}", value
