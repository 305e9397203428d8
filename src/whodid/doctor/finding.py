"""The finding: one fact about an installation, how bad it is, what to do, and how it may be mended.

The subject: what is examined, and where the facts about it are read.

The moment: when the entries of a segment were recorded, read without the journal's own checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..files import open_file
from ..settings import Settings, journal_place
from ..text import FOREIGN, json_of

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Finding", "Fix", "Subject", "first_moment", "last_moment", "moment", "ok", "problem", "warning"]


@dataclass(frozen=True, slots=True)
class Fix:
    """What `whodid doctor --fix` does: something that loses no entry. `make` raises `WhodidError`."""

    says: str
    make: Callable[[OpenSearch], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """`on` is what it is about: a path, an address, a name. A `problem` must be mended, a `warning` be known.

    `about` has more for programs.
    """

    severity: Literal["problem", "warning", "ok"]
    on: str
    what: str
    advice: str = ""
    area: str = ""
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fix: Fix | None = None

    def as_json(self) -> dict[str, Any]:
        names = ("severity", "area", "on", "what", "advice")
        shown: dict[str, Any] = {name: getattr(self, name) for name in names}
        return shown | {"fix": self.fix.says if self.fix else None, **({"about": self.about} if self.about else {})}


def problem(on: object, what: str, advice: str, **more: Any) -> Finding:
    return Finding("problem", str(on), what, advice, **more)


def warning(on: object, what: str, advice: str, **more: Any) -> Finding:
    return Finding("warning", str(on), what, advice, **more)


def ok(on: object, what: str, **more: Any) -> Finding:
    return Finding("ok", str(on), what, **more)


@dataclass(frozen=True, slots=True)
class Subject:
    """An installation as its settings describe it. `timeout` is in seconds, for one round of checks."""

    settings: Settings
    config_file: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    timeout: float = 4.0
    mountinfo: Path = Path("/proc/self/mountinfo")

    @property
    def journal_dir(self) -> Path:
        return journal_place(self.settings.journal_dir)


_LONGEST = 128 * 1024
"""Bytes: more than a line has."""


def first_moment(segment: Path) -> datetime | None:
    """Of its first entry; `None` where that can't be read."""
    with open_file(segment) as file:
        return moment(file.readline(_LONGEST))


def last_moment(segment: Path) -> datetime | None:
    """Of its last whole entry."""
    with open_file(segment) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST))
        lines = file.read(2 * _LONGEST).split(b"\n")[:-1]
    return next((found for line in reversed(lines) if (found := moment(line))), None)


def moment(line: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(json_of(line)["@timestamp"])
    except FOREIGN:
        return None
