"""The disk: how much space and how many files the journal has left, and for how long that is enough."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..journal import JournalDirectory
from ..journal.directory import segment_size, segments
from .finding import Finding, ok, problem, warning
from .moment import first_moment
from .subject import Subject

__all__ = ["examine"]

_LEAST_FILES = 1000
_SOON = 24 * 3600
_SHORTEST = 60
"""Seconds that a journal must span for its growth to be known."""


def examine(subject: Subject) -> Iterator[Finding]:
    place = existing(subject.journal_dir)
    about = os.statvfs(place)
    used, rate = _used(subject)
    yield _space(subject, place, about.f_bavail * about.f_frsize, rate)
    if about.f_files and about.f_favail < _LEAST_FILES:
        found = problem if about.f_favail < 10 else warning
        yield found(
            place, f"the file system has {about.f_favail} inodes left", "remove small files there, or give it more"
        )
    if subject.settings.max_bytes:
        yield _limit(subject, used)


def existing(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _space(subject: Subject, place: Path, free: int, rate: float) -> Finding:
    enough = 2 * subject.settings.segment_bytes
    lasts = free / rate if rate else float("inf")
    state = f"{_size(free)} free" + (f", enough for {_span(lasts)} at {_size(rate * 3600)} an hour" if rate else "")
    advice = "free space there, or move journal_dir; where entries wait, see that `whodid ship` runs"
    if free < subject.settings.segment_bytes // 4:
        return problem(place, f"the disk is nearly full: {state}. Calls are about to fail", advice)
    if free < enough:
        return warning(place, f"little space: {state}", advice)
    if lasts < _SOON:
        return warning(place, f"{state}: a day without OpenSearch would fill it", "give journal_dir a larger disk")
    return ok(place, state)


def _limit(subject: Subject, used: int) -> Finding:
    limit = subject.settings.max_bytes
    state = f"{_size(used)} of max_bytes = {_size(limit)} are used"
    advice = "see that `whodid ship` runs and gets on, or raise max_bytes"
    if used + 65536 > limit:
        return problem(subject.journal_dir, f"{state}: calls fail", advice)
    if used > 0.8 * limit:
        return warning(subject.journal_dir, state, advice)
    return ok(subject.journal_dir, state)


def _used(subject: Subject) -> tuple[int, float]:
    """Bytes of what counts towards `max_bytes`, and bytes a second at which the current journal grew."""
    directory = JournalDirectory(subject.journal_dir)
    used, rate = directory.bytes_beside(), 0.0
    current = directory.current()
    for journal in directory.journals():
        found = segments(directory.journal(journal))
        size = sum(map(segment_size, found))
        began = first_moment(found[0]) if found and journal == current else None
        if began is not None:
            span = found[-1].stat().st_mtime - began.timestamp()
            rate = size / span if span >= _SHORTEST else 0.0
    return used, rate


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
