"""The moment: when the entries of a segment were recorded, read without the journal's own checks."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from ..files import open_file
from ..text import FOREIGN, json_of

__all__ = ["first_moment", "last_moment", "moment"]

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
