"""Records of damaged lines and missing entries in a journal.

`damaged.ndjson` has each damaged or misplaced line once: `place`, `reason`, and its bytes as `base64`.
`missing.ndjson` has ranges of entries that are in no segment although later ones are, and missing segments: `journal`,
`first`, `last` (0 if unknown; both are 0 if the directory of a whole journal is missing or unreadable), `time`.

Invariants:
- A missing range is on disk in this file before the acknowledged position passes it.
- It is removed only when OpenSearch has stored its entries, because a file was restored and shipped.
- While it is recorded, no segment that may hold its entries is pruned.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from ..entry import Stamp
from ..errors import JournalDamaged
from ..files import append_line, names_in, open_file, read_file, read_objects, sync_file, write_parts
from ..integrity import read_line
from ..text import FOREIGN, json_of, text_of
from .directory import JournalDirectory, segment_name, segment_size, segments
from .durable import on_disk
from .reader import Damaged, Missing
from .segment import Broken, last_link

__all__ = [
    "count_damaged",
    "find_stray",
    "gap_at_the_end",
    "gaps",
    "gone_journals",
    "in_words",
    "keep_damaged",
    "keep_missing",
    "read_missing",
    "remove_missing",
]


def keep_damaged(directory: JournalDirectory, lines: Iterable[Damaged]) -> None:
    """Quarantines damaged lines, each once, and raises alarms. Raises `OSError`."""
    lines = list(lines)
    known = _places(directory) if lines else set()
    if known:
        sync_file(directory.damaged)
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


def keep_missing(directory: JournalDirectory, gaps: Iterable[Missing]) -> None:
    """Records missing ranges, each once, and raises alarms. Raises `OSError`."""
    for gap in gaps:
        known = [one for one in read_missing(directory) if one.journal == gap.journal]
        if known:
            sync_file(directory.missing)
        for new in _without(gap, known):
            about = {"journal": new.journal, "first": new.first, "last": new.last}
            append_line(directory.missing, json.dumps({**about, "time": Stamp.now().creation_date}).encode())
            directory.alarm("missing entries", in_words(directory, new))


def read_missing(directory: JournalDirectory) -> list[Missing]:
    """The recorded missing ranges, in the order in which they were found."""
    return [found for _, content in read_objects(directory.missing) if (found := _missing(content))]


def _missing(content: dict[str, Any]) -> Missing | None:
    """A missing range from a parsed line; `None` if the line is malformed."""
    try:
        journal, first, last = text_of(content["journal"]), content["first"], content["last"]
    except FOREIGN:
        return None
    fits = type(first) is int and type(last) is int and 0 <= first < 1 << 63 and (last == 0 or first <= last < 1 << 63)
    return Missing(journal, first, last) if fits else None


def remove_missing(directory: JournalDirectory, found: Iterable[Missing]) -> None:
    """Removes entries that were found again and shipped from the recorded ranges. Raises `OSError`."""
    left = noted = read_missing(directory)
    for one in found:
        left = [rest for gap in left for rest in (_without(gap, [one]) if gap.journal == one.journal else [gap])]
    if left == noted:
        return
    time = Stamp.now().creation_date
    write_parts(directory.missing, (json.dumps({**one._asdict(), "time": time}).encode() + b"\n" for one in left))


def _without(gap: Missing, known: Collection[Missing]) -> Iterator[Missing]:
    """The parts of a gap that are not in `known`."""
    if not gap.last:
        if gap not in known:
            yield gap
        return
    first = gap.first
    for one in sorted(known):
        if one.last and first <= gap.last and one.last >= first and one.first <= gap.last:
            if one.first > first:
                yield Missing(gap.journal, first, one.first - 1)
            first = one.last + 1
    if first <= gap.last:
        yield Missing(gap.journal, first, gap.last)


def gaps(directory: JournalDirectory, journal: str, after: int) -> Iterator[Missing]:
    """The missing ranges behind entry `after`, by the names and ends of the segments. Raises `JournalDamaged`."""
    end = gap_at_the_end(directory, journal, after)
    found = segments(directory.journal(journal))
    expected = after + 1
    for path, successor in zip_longest(found, found[1:]):
        if int(path.stem) > expected:
            yield Missing(journal, expected, int(path.stem) - 1)
        if successor is None or int(successor.stem) > expected:
            expected = max(expected, (_last_of(path) or (int(successor.stem) - 1 if successor else 0)) + 1)
    if end:
        yield end


def gap_at_the_end(directory: JournalDirectory, journal: str, after: int) -> Missing | None:
    """The range that is missing at the end of a journal, as far as it is known. Raises `JournalDamaged`."""
    path = directory.journal(journal)
    marked, size = on_disk(directory.durable, journal)  # before listing the segments, as a new one may be started
    known = max([_ended_at(path), *(last for _, _, last in _strays(path, journal))])
    found = segments(path)
    last = max([after, *(_last_of(segment) for segment in found[-1:])])
    if known > last:
        return Missing(journal, last + 1, known)
    if marked > max((int(segment.stem) for segment in found), default=0):
        return Missing(journal, marked, 0)
    if found and int(found[-1].stem) == marked and segment_size(found[-1]) < size:
        return Missing(journal, last + 1, last + 1)  # at least
    return None


def gone_journals(directory: JournalDirectory) -> list[Missing]:
    """The journals whose directory is missing although they were not shipped completely, or can't be read.

    Raises `JournalDamaged` and `OSError`.
    """
    before = directory.started()
    found, unreadable = directory.folders()
    gone = {*before, *unreadable}.difference(found)
    if gone:  # one may be shipped and removed meanwhile
        gone &= {*directory.started(), *unreadable}
    return [Missing(journal, 0, 0) for journal in sorted(gone)]


def _ended_at(path: Path) -> int:
    """The last entry of an ended journal, as far as its writer knew; else 0."""
    try:
        last = json_of(read_file(path / "ended")).get("last", 0)
    except (FileNotFoundError, NotADirectoryError, JournalDamaged, *FOREIGN):
        return 0
    return last if type(last) is int and 0 <= last < 1 << 63 else 0


def _last_of(segment: Path) -> int:
    """The number of its last entry; 0 if unknown. Raises `OSError`."""
    try:
        link = last_link(segment)
    except (Broken, FileNotFoundError):
        return 0
    return link.seq if link else 0


class _Stray(NamedTuple):
    """A file that holds entries of a journal but is not a segment, with its first and last entry number."""

    path: Path
    first: int
    last: int


_LEFT_OUT = re.compile(r"journal\.json|acknowledged|partitioning|ended|.*\.torn|.*\.new|\d{20}\.ndjson")
_MOST = 1000


def _strays(place: Path, journal: str, *, below: bool = False) -> Iterator[_Stray]:
    """The stray files in a directory; or also `below` it, as far as this user may read it."""
    looked_at = 0
    for folder, _, names in os.walk(place) if below else [(str(place), [], names_in(place))]:
        for name in sorted(names):
            if _LEFT_OUT.fullmatch(name) and Path(folder).name == journal:
                continue
            looked_at += 1
            if looked_at > _MOST:
                return
            if stray := _stray(Path(folder, name), journal):
                yield stray


def _stray(path: Path, journal: str) -> _Stray | None:
    try:
        with open_file(path) as file:
            entry = read_line(file.readline(1 << 18).rstrip(b"\n"))
        last = _last_of(path)
    except (OSError, ValueError, JournalDamaged):
        return None
    in_place = (path.parent.name, path.name) == (journal, segment_name(entry["seq"]))
    ours = entry["journal"] == journal and not in_place
    return _Stray(path, entry["seq"], max(last, entry["seq"])) if ours else None


def find_stray(directory: JournalDirectory, gap: Missing) -> _Stray | None:
    """A file below the journal directory that holds missing entries, but has not the name of a segment."""
    for stray in _strays(directory.path, gap.journal, below=True):
        if stray.last >= gap.first and (stray.first <= gap.last or not gap.last):
            return stray
    return None


_READ = {".torn", ".ndjson"}
"""Suffixes of files that `find_stray` has read, and that hold other entries."""


def in_words(directory: JournalDirectory, gap: Missing) -> str:
    """The message for a missing range: where it may be, and what to do."""
    what = f"entries {gap.first:,} to {gap.last:,}" if gap.last > gap.first else f"entry {gap.first:,}"
    if not gap.last:
        what = f"the segment that starts with entry {gap.first:,}" if gap.first else "the whole directory"
    where = directory.journal(gap.journal)
    try:
        found = segments(where)
    except PermissionError:
        return (
            f"{what} of journal {gap.journal}: unreadable for this user, and not shipped; "
            f"correct owner and mode of {where}, and run `whodid ship`"
        )
    if any(int(path.stem) <= gap.first <= _last_of(path) or not gap.first for path in found):
        return f"{what} of journal {gap.journal}: found again, but not shipped; run `whodid ship`"
    retire = f"if it is gone for good, run `whodid journal retire {gap.journal}`; else restore {where}"
    lost = f"the file was moved, cut or deleted: restore it in {where}" if gap.first else retire
    todo = f"{lost}, from its new place or from a backup"
    if stray := find_stray(directory, gap):
        todo = f"found in {stray.path}: move it back to {where / segment_name(stray.first)}"
    elif others := [path for path in directory.path.rglob(f"{gap.first:020d}.*") if path.suffix not in _READ]:
        todo = f"it may be {others[0]}: restore its content as {where / segment_name(gap.first)}"
    return f"{what} of journal {gap.journal}: missing, and not shipped; {todo}, and run `whodid ship`"
