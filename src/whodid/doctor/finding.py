"""Findings of the doctor, the installation that it examines, and times of entries as read from segments."""

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
    """A fix that loses no entry, for `whodid doctor --fix`. `make` raises `WhodidError` if it fails."""

    says: str
    make: Callable[[OpenSearch], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an installation: a `problem` must be fixed, a `warning` may become one.

    `on` is its object, such as a path, an address or a name. `about` has details for programs.
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
    """The installation to examine. `timeout` is the limit of one round of checks, in seconds."""

    settings: Settings
    config_file: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    timeout: float = 4.0
    mountinfo: Path = Path("/proc/self/mountinfo")

    @property
    def journal_dir(self) -> Path:
        return journal_place(self.settings.journal_dir)


_LONGEST = 128 * 1024
"""Bytes; longer than any line."""


def first_moment(segment: Path) -> datetime | None:
    """Return the time of the first entry of a segment; `None` if it can't be read."""
    with open_file(segment) as file:
        return moment(file.readline(_LONGEST))


def last_moment(segment: Path) -> datetime | None:
    """Return the time of the last complete entry of a segment; `None` if there is none."""
    with open_file(segment) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST))
        lines = file.read(2 * _LONGEST).split(b"\n")[:-1]
    return next((found for line in reversed(lines) if (found := moment(line))), None)


def moment(line: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(json_of(line)["@timestamp"])
    except FOREIGN:
        return None
