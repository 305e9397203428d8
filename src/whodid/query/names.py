"""The other names of event types: a search for a new name finds entries recorded under the old one, and the reverse.

`config/event-names.csv` has those that the product behind the default catalog has renamed; the `replaced_by` of the
application's own catalog come on top. A name stands for what replaced it and for what it replaced, whatever the number
of steps, but not for what was merged into the same successor.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache

from ..catalog.model import parse, read
from ..resources import resource_text
from ..settings import Settings

__all__ = ["OtherNames"]


class OtherNames:
    """Called with a name, or a beginning and `*`: the other names."""

    def __init__(self, replaced_by: Mapping[str, str]) -> None:
        self._replaced_by = replaced_by

    @classmethod
    def of(cls, settings: Settings) -> OtherNames:
        """Raises `CatalogError` for a catalog that can't be read."""
        if not settings.catalog:
            return cls(_renamed())
        from pathlib import Path

        default = parse(resource_text("config/events.toml"), "config/events.toml")
        own = parse(
            read(Path(settings.catalog)), settings.catalog, default if settings.catalog_mode == "extend" else None
        )
        return cls(_renamed() | {name: known.replaced_by for name, known in own.types.items() if known.replaced_by})

    def __call__(self, asked: str) -> tuple[str, ...]:
        if not asked.endswith("*"):
            return tuple(name for name in self._family(asked) if name != asked)
        begin = asked[:-1]
        names = {*self._replaced_by, *self._replaced_by.values()}
        family = {other for name in names if name.startswith(begin) for other in self._family(name)}
        return tuple(sorted(other for other in family if not other.startswith(begin)))

    def _family(self, name: str) -> set[str]:
        family = {name}
        later: str | None = name
        while later := self._replaced_by.get(later or ""):
            family.add(later)
        earlier = {name}
        while earlier := {old for old, new in self._replaced_by.items() if new in earlier}:
            family |= earlier
        return family


@cache
def _renamed() -> dict[str, str]:
    rows = csv.DictReader(resource_text("config/event-names.csv").splitlines())
    return {row["name"]: row["replaced_by"] for row in rows}
