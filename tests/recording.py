"""What tests of recording share: a configured process, and what is in its journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import whodid
from tests import independent
from whodid.journal import read_entries

WHO: dict[str, Any] = {"principal": "42", "client_ip": "203.0.113.9", "organization_id": "7"}


def configured(path: Path, **keywords: Any) -> Path:
    """whodid set up for this process with a journal below `path`; returns the journal directory."""
    journal_dir = path / "journal"
    whodid.configure(journal_dir=journal_dir, **keywords)
    return journal_dir


def recorded(journal_dir: Path) -> list[dict[str, Any]]:
    """The entries in the journal, their chain checked independently."""
    entries = list(read_entries(journal_dir))
    assert independent.problems(entries) == []
    return entries
