"""The journal directory: its files, and which journal is current.

    journal_dir/                        0700; every file below it 0600
      current                           {"format": 1, "journal": ID, "unshipped": [ID, …]}: the journal that new entries
                                        go to, and those before it that are not known to be shipped completely
      lock                              held while writing; grows by one byte for each closed segment
      durable                           how much of the current segment is on disk; held while syncing
      ship.lock                         held by the one active shipper
      alarms.ndjson                     what an operator must know: a torn tail, a new journal, damage
      once                              the keys of calls with `once`, up to a place in the current journal
      rejected.ndjson                   calls that broke the catalog, with on_invalid = "quarantine"
      damaged.ndjson                    journal lines with a hash mismatch
      missing.ndjson                    entries that were in no segment when later ones were shipped
      dead-letters.ndjson               entries that OpenSearch refused permanently
      dead-letters.lock                 held while dead letters are added or removed
      checkpoints.ndjson                signed checkpoints: how far each journal had come at which time
      imports.ndjson                    how far each import of an older log is
      import.lock                       held by the one active import
      witnessed.json                    the last checkpoint that each witness has received
      recording.json                    for each application, which event types it does not record in full
      recording.lock                    held while that file is replaced
      not-recorded                      number of calls that could not be recorded, with on_failure = "warn"
      <journal ID>/
        journal.json                    the marker: ID, format, and which file it is
        <first seq, 20 digits>.ndjson   a segment; mode 0400 once it is closed
        <first seq>.ndjson.torn         a partial line that a crash left
        acknowledged                    the entry up to which all are stored or dead letters, and the state of the
                                        open checkpoint; two slots
        partitioning                    the partition length with which its entries are shipped
        ended                           why the journal ended, and its last number as far as its writer knew

A journal that ends (a failed sync, a copied directory) gets a successor beside it; both are shipped. A directory is a
journal if it has a marker, or if it has the name and a segment of one. A journal that `current` names and that is not
there is missing.

`not-recorded` has a fixed size, is created with the first journal and changed in place, so that it can count when the
disk is full. Counting may still fail; the receipt and the warning report the failure in any case.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from ..entry import Stamp
from ..errors import JournalDamaged
from ..files import (
    ABSENT,
    append_line,
    best_effort,
    dump,
    identity,
    is_there,
    linked,
    names_in,
    new_directory,
    of_system,
    open_apart,
    open_to_read,
    read_file,
    read_lines,
    read_objects,
    sync_above,
)
from ..process import by_handler
from ..settings import journal_place
from ..text import FOREIGN, json_of, text_of

__all__ = [
    "FORMAT",
    "JournalDirectory",
    "append_line",
    "count_not_recorded",
    "identity",
    "not_recorded",
    "read_lines",
    "reserve_counter",
    "segment_name",
    "segment_size",
    "segments",
]

FORMAT = 1
"""Version of the directory's format. A newer one is refused, an older one is read."""

MOST_REJECTED = 16 * 1024 * 1024
"""Maximum size of `rejected.ndjson` in bytes."""


class JournalDirectory:
    """Paths and small files of one `journal_dir`, which `create` creates. Raises `JournalDamaged`."""

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = journal_place(path)
        self._current = str(self.path / "current")
        about = self._status()
        if create and about is None:
            try:
                _make(self.path)
            except OSError as error:
                if not of_system(error):
                    raise
                raise JournalDamaged(
                    f"the journal directory {self.path} can't be created ({error.strerror}); "
                    "set journal_dir to a directory that this user may write to"
                ) from error
            about = self._status()
        if about is not None:
            self._refuse_foreign(about)

    def _status(self) -> os.stat_result | None:
        with best_effort(*ABSENT):
            return self.path.stat()
        return None

    def _refuse_foreign(self, about: os.stat_result) -> None:
        """Refuses a directory of another user, who could read and change all entries; root may use any directory."""
        if not stat.S_ISDIR(about.st_mode):
            raise JournalDamaged(f"journal_dir {self.path} is a file; set it to a directory")
        owner = about.st_uid
        if owner not in (0, user := os.geteuid()) and user != 0:
            raise JournalDamaged(
                f"journal_dir {self.path} belongs to another user, {owner}, who can change what is recorded there; "
                f"set it to a directory of this user, {user}"
            )

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def durable(self) -> Path:
        return self.path / "durable"

    @property
    def ship_lock(self) -> Path:
        return self.path / "ship.lock"

    @property
    def dead_letters(self) -> Path:
        return self.path / "dead-letters.ndjson"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints.ndjson"

    @property
    def damaged(self) -> Path:
        return self.path / "damaged.ndjson"

    @property
    def missing(self) -> Path:
        return self.path / "missing.ndjson"

    @property
    def rejected(self) -> Path:
        return self.path / "rejected.ndjson"

    def bytes_beside(self, segment: Path | None = None) -> int:
        """The size of the files that count towards `max_bytes`, without this segment. Raises `OSError`."""
        below = [self.path / journal for journal in self.folders()[0]]
        counted = [
            self.rejected,
            *(path / name for path in below for name in names_in(path) if name.endswith(".ndjson")),
        ]
        return sum(segment_size(path) for path in counted if path != segment)

    def room_for_rejected(self, max_bytes: int) -> int:
        """The bytes left for rejected calls. Raises `OSError`."""
        room = min(MOST_REJECTED, max_bytes // 8 if max_bytes else MOST_REJECTED) - segment_size(self.rejected)
        return min(room, max_bytes - self.bytes_beside()) if max_bytes else room

    def journal(self, journal: str) -> Path:
        return self.path / journal

    def current(self) -> str | None:
        """The ID of the journal that new entries go to. Raises `JournalDamaged`."""
        content = self._read_current()
        return content["journal"] if content else None

    def started(self) -> list[str]:
        """The current journal, and those before it that are not known to be shipped completely.

        Raises `JournalDamaged` and `OSError`.
        """
        content = self._read_current() or {}
        noted = content.get("unshipped")
        if not isinstance(noted, list):  # an earlier version wrote it, or it was removed
            noted = list(self.journals())
        return sorted({one for one in (*noted, content.get("journal")) if isinstance(one, str) and _ID.fullmatch(one)})

    def _read_current(self) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json_of(read_file(self.path / "current"))
            journal, version = text_of(content["journal"]), content["format"]
        except FileNotFoundError as error:
            if not of_system(error):
                raise
            return None
        except PermissionError as error:
            raise JournalDamaged(f"this user may not read {self.path}; run as its owner") from error
        except FOREIGN as error:
            raise self._damaged() from error
        self._check_format(self.path, version)
        if not _ID.fullmatch(journal):
            raise self._damaged()
        return content

    def _damaged(self) -> JournalDamaged:
        return JournalDamaged(
            f"{self.path / 'current'} is damaged; remove this file, and a new journal is started beside the old one"
        )

    def current_file(self) -> tuple[int, int] | None:
        """A value that changes when `current` is replaced; `None` if there is no such file."""
        try:
            status = os.lstat(self._current)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not of_system(error):
                raise
            return None
        return status.st_ino, status.st_mtime_ns

    def journals(self) -> Iterator[str]:
        """IDs of all journals in the directory, the current one last. Raises `JournalDamaged` and `OSError`."""
        current = self.current()
        found, _ = self.folders()
        yield from (journal for journal in found if journal != current)
        if current in found:
            yield current

    def folders(self) -> tuple[list[str], list[str]]:
        """IDs of all journals, and of those whose directory this user may not read. Raises `OSError`."""
        found: list[str] = []
        unreadable: list[str] = []
        for name in names_in(self.path):
            try:
                if not _MADE.fullmatch(name):  # perhaps of somebody else, with any number of files
                    found += [name] if is_there(self.path / name / "journal.json") else []
                    continue
                names = names_in(self.path / name)
            except PermissionError:
                unreadable += [name] if _MADE.fullmatch(name) else []  # else it may be lost+found
            except OSError:
                found += [name] if _MADE.fullmatch(name) else []  # whoever reads it gets the error
            else:
                if "journal.json" in names or any(map(_SEGMENT.fullmatch, names)):
                    found.append(name)
        return found, unreadable

    def is_copy(self, journal: str) -> bool:
        """Whether the journal's marker is missing or was copied, which its identity shows.

        Raises `OSError` if it can't be read, and `JournalDamaged` if its version is newer.
        """
        marker = self.journal(journal) / "journal.json"
        try:
            content = json_of(read_file(marker))
            copied = content["journal"] != journal or not _fits(content, marker)
        except (FileNotFoundError, NotADirectoryError, *FOREIGN) as error:
            if by_handler(error):
                raise
            return True
        self._check_format(marker, content.get("format"))
        return bool(copied)

    def _check_format(self, path: Path, version: object) -> None:
        if not isinstance(version, int) or version > FORMAT:
            raise JournalDamaged(
                f"{path} was written by a newer whodid (format {version}, this one knows {FORMAT}); upgrade whodid"
            )

    def too_open(self) -> list[Path]:
        """The directory and its direct children that are accessible to other users. Raises `OSError`."""
        return [path for path in (self.path, *sorted(self.path.iterdir())) if _mode(path) & 0o077]

    def alarm(self, kind: str, about: str) -> None:
        """Records an alarm for the operator. Never raises, because an alarm must not stop recording."""
        now = Stamp.now().creation_date
        with best_effort():  # if the disk is full or gone, the caller's error reports it
            append_line(self.path / "alarms.ndjson", dump({"time": now, "alarm": kind, "about": about}))

    def alarm_once(self, kind: str, about: str) -> None:
        """As `alarm`, unless it repeats the last alarm of its kind on the same day."""
        last: dict[str, Any] = {}
        with best_effort():
            last = next((one for one in reversed(self.alarms()) if one.get("alarm") == kind), {})
        if last.get("about") != about or str(last.get("time"))[:10] != Stamp.now().creation_date[:10]:
            self.alarm(kind, about)

    def alarms(self) -> list[dict[str, Any]]:
        """The alarms, without malformed ones; `time`, `alarm` and `about` are strings."""
        found = [content for _, content in read_objects(self.path / "alarms.ndjson")]
        return [one for one in found if all(_is_text(one.get(name)) for name in ("time", "alarm", "about"))]


_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""The ID of a journal; it can't name a path outside the directory."""
_MADE = re.compile(r"[0-9a-f]{16}")
"""The ID that a new journal gets."""


def _is_text(value: object) -> bool:
    try:
        text_of(value)
    except ValueError:
        return False
    return True


def _fits(content: dict[str, object], marker: Path) -> bool:
    fd = open_to_read(marker)
    try:
        now = identity(fd)
    finally:
        os.close(fd)
    return content["inode"] == now["inode"] and content.get("generation") in (None, now.get("generation"))


def _make(path: Path, mode: int = 0o700) -> None:
    """Creates a directory and its missing parents; the name of a parent is durable before its child is created."""
    if not is_there(path.parent):
        _make(path.parent, 0o777)
    sync_above(path.parent)
    with suppress(FileExistsError):  # another process was quicker
        new_directory(path, mode)


def _mode(path: Path) -> int:
    """The mode of a file; 0 for a symbolic link, which is refused when it is opened, and for a missing file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        if not of_system(error):
            raise
        return 0
    return 0 if stat.S_ISLNK(mode) else mode


_SEGMENT = re.compile(r"[0-9]{20}\.ndjson")


def segment_name(first_seq: int) -> str:
    return f"{first_seq:020d}.ndjson"


def segment_size(path: Path) -> int:
    """The size of a segment in bytes; 0 if the shipper has deleted it meanwhile."""
    with best_effort(FileNotFoundError):
        return path.stat().st_size
    return 0


def segments(directory: Path) -> list[Path]:
    """The segments of one journal in order. Raises `OSError`, and `JournalDamaged` if one is a symbolic link."""
    found = [directory / name for name in names_in(directory) if _SEGMENT.fullmatch(name)]
    for path in found:
        if path.is_symlink():
            raise linked(path)
    return found


_DIGITS = 20
_PATIENCE = 0.1
"""Seconds to wait for another process that is counting. If that process is suspended, the count may be too low."""


def reserve_counter(journal_dir: Path) -> None:
    """Creates the counter file unless it exists. Raises `OSError`, and `JournalDamaged` if it is not trusted."""
    fd = _open(journal_dir)
    try:
        if os.fstat(fd).st_size == 0:
            os.pwrite(fd, _text(0), 0)
            os.fsync(fd)
    finally:
        os.close(fd)


def count_not_recorded(journal_dir: Path) -> None:
    """Increments the counter. Raises only what a signal handler raises."""
    with best_effort(), os.fdopen(_open(journal_dir), "r+b", buffering=0) as file:  # closing it unlocks it
        fd = file.fileno()
        _wait_for_turn(fd)
        os.pwrite(fd, _text(_number(os.pread(fd, _DIGITS, 0)) + 1), 0)


def not_recorded(journal_dir: Path) -> int:
    """The number of calls that could not be recorded in this directory. Raises `OSError` and `JournalDamaged`."""
    with best_effort(FileNotFoundError):
        return _number(read_file(journal_dir / "not-recorded"))
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
    """The number in the file; 0 if the file is damaged."""
    return int(text[:_DIGITS]) if text[:_DIGITS].strip().isdigit() else 0


def _text(count: int) -> bytes:
    return b"%0*d\n" % (_DIGITS, count)
