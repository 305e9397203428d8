"""The subject: what is examined, and where the facts about it are read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..settings import Settings, journal_place

__all__ = ["Subject"]


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
