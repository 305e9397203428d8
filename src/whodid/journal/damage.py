"""Damage: journal lines whose hash does not fit, kept aside so that nobody has to search for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from .directory import JournalDirectory
from .file import append_line, read_objects
from .line import Damaged

__all__ = ["count_damaged", "keep_damaged"]


def keep_damaged(directory: JournalDirectory, lines: Iterable[Damaged]) -> None:
    """Quarantines damaged lines, once each, and alarms. Raises `OSError`."""
    lines = list(lines)
    known = _places(directory) if lines else set()
    for line in lines:
        place = f"{line.segment.parent.name}/{line.segment.name}:{line.offset}"
        if place not in known:
            content = {"place": place, "reason": line.reason, "base64": base64.b64encode(line.raw).decode()}
            append_line(directory.damaged, json.dumps(content).encode())
            directory.alarm("damaged line", f"{place}: {line.reason}")


def count_damaged(directory: JournalDirectory) -> int:
    return len(_places(directory))


def _places(directory: JournalDirectory) -> set[str]:
    return {str(content.get("place")) for _, content in read_objects(directory.damaged)}
