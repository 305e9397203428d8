"""The deliveries: how far each witness has been told of each journal, and since when one can't be told.

`witnessed.json` in the journal directory, replaced whole. It only saves repetition: what was told already is told again
where it is lost, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import JournalDamaged
from ..files import dump, read_file, write_file
from ..text import FOREIGN, json_of, text_of

__all__ = ["Deliveries", "Told"]

_NAME = "witnessed.json"


@dataclass(frozen=True, slots=True)
class Told:
    """Of one witness: the last number it was told, by journal. `failing` is since when it fails, or empty."""

    told: Mapping[str, int] = field(default_factory=dict)
    failing: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What is known of all witnesses of one journal directory, by their names."""

    directory: Path

    def read(self) -> dict[str, Told]:
        """A lost or damaged file counts as nothing told."""
        try:
            content = json_of(read_file(self.directory / _NAME))
            return {text_of(name): _told(one) for name, one in content.items()}
        except (OSError, JournalDamaged, *FOREIGN):
            return {}

    def note(self, name: str, told: Told) -> None:
        """Raises `OSError`. Whoever notes is the one active shipper, in one thread at a time."""
        known = {**self.read(), name: told}
        content = {
            one: {"told": dict(about.told), "failing": about.failing, "error": about.error}
            for one, about in known.items()
        }
        write_file(self.directory / _NAME, dump(content))

    def problems(self) -> Iterator[str]:
        """In words, for `status`."""
        for name, about in sorted(self.read().items()):
            if about.failing:
                yield f"{name} has not been told of checkpoints since {about.failing}: {about.error}"


def _told(content: Mapping[str, Any]) -> Told:
    told = {text_of(journal): int(number) for journal, number in content["told"].items()}
    return Told(told, text_of(content["failing"]), text_of(content["error"]))
