"""The counter of calls that could not be recorded, under `on_failure = "warn"`.

A file of fixed size, changed in place, so that it can still count when the disk is full. Best effort: when even that
fails, the receipt and the warning remain.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["count_not_recorded", "not_recorded"]

_DIGITS = 20


def count_not_recorded(journal_dir: Path) -> None:
    """Adds one. Never raises."""
    try:
        fd = os.open(journal_dir / "not-recorded", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        count = int(os.pread(fd, _DIGITS, 0) or b"0") + 1
        os.pwrite(fd, b"%0*d\n" % (_DIGITS, count), 0)
    except (OSError, ValueError):
        pass
    finally:
        os.close(fd)


def not_recorded(journal_dir: Path) -> int:
    """How many calls were not recorded in this directory so far."""
    try:
        return int((journal_dir / "not-recorded").read_text())
    except (OSError, ValueError):
        return 0
