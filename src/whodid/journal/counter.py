"""The counter of calls that could not be recorded, under `on_failure = "warn"`.

A file of fixed size, made with the first journal and changed in place, so that it can still count when the disk is
full. Best effort: when even that fails, the receipt and the warning remain.
"""

from __future__ import annotations

import os
import time
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from ..files import best_effort, open_apart, read_file

__all__ = ["count_not_recorded", "not_recorded", "reserve_counter"]

_DIGITS = 20
_PATIENCE = 0.1
"""Seconds for another process that counts; one that was stopped must not stop this one, which then may count short."""


def reserve_counter(journal_dir: Path) -> None:
    """Makes the file, unless there is one. Raises `OSError`."""
    fd = _open(journal_dir)
    try:
        if os.fstat(fd).st_size == 0:
            os.pwrite(fd, _text(0), 0)
            os.fsync(fd)
    finally:
        os.close(fd)


def count_not_recorded(journal_dir: Path) -> None:
    """Adds one. Raises nothing but what a signal handler does."""
    with best_effort(), os.fdopen(_open(journal_dir), "r+b", buffering=0) as file:  # closed, and so unlocked, however
        fd = file.fileno()
        _wait_for_turn(fd)
        os.pwrite(fd, _text(_number(os.pread(fd, _DIGITS, 0)) + 1), 0)


def not_recorded(journal_dir: Path) -> int:
    """How many calls were not recorded in this directory so far."""
    try:
        return _number(read_file(journal_dir / "not-recorded"))
    except OSError:
        return 0


def _open(journal_dir: Path) -> int:
    return open_apart(journal_dir / "not-recorded", os.O_RDWR | os.O_CREAT)


def _wait_for_turn(fd: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            time.sleep(1e-3)
        else:
            break


def _number(text: bytes) -> int:
    """Counts on from zero where the file was damaged."""
    return int(text[:_DIGITS]) if text[:_DIGITS].strip().isdigit() else 0


def _text(count: int) -> bytes:
    return b"%0*d\n" % (_DIGITS, count)
