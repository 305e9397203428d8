"""The journal directory: what lies where, which journal is current, and how small files are replaced.

    journal_dir/                        0700; every file below it 0600
      current                           {"format": 1, "journal": ID}: the journal that new entries go to
      lock                              held while writing; a byte longer for each segment closed
      durable                           up to where the current segment is on disk; held while syncing
      ship.lock                         held by the one active shipper
      alarms.ndjson                     what an operator must know: a torn tail, a new journal, damage
      rejected.ndjson                   calls that broke the catalog, under on_invalid = "quarantine"
      damaged.ndjson                    journal lines whose hash did not fit
      dead-letters.ndjson               entries OpenSearch refused for good
      not-recorded                      how many calls could not be recorded, under on_failure = "warn"
      <journal ID>/
        journal.json                    the marker: ID, format, its own inode
        <first seq, 20 digits>.ndjson   a segment; mode 0400 once it is closed
        <first seq>.ndjson.torn         half a line that a crash left, kept aside
        acknowledged                    {"seq": N, "hash": …}: everything up to N is stored or a dead letter
        ended                           why no more entries go here

A journal that ends (a failed sync, a copied directory) gets a successor beside it; both are shipped.

Crash behaviour: small files are written new, synced, renamed, and the directory synced, so a reader sees the old one
or the new one. `current` is replaced last: a crash before that leaves an unused, empty journal, which is harmless.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..entry import Stamp
from ..errors import JournalDamaged

__all__ = [
    "FORMAT",
    "JournalDirectory",
    "append_line",
    "read_lines",
    "segment_name",
    "segments",
    "sync_directory",
    "write_file",
]

FORMAT = 1
"""Of the directory. A newer one is refused, an older one is read."""


class JournalDirectory:
    """Paths and small files of one `journal_dir`. Makes it when `create` is true. Raises `JournalDamaged`."""

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        if create and not self.path.exists():
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_directory(self.path.parent)
            except OSError as error:
                raise JournalDamaged(
                    f"the journal directory {self.path} can't be made ({error.strerror}); "
                    "set journal_dir to a place this user may write to"
                ) from error
        if self.path.exists() and not self.path.is_dir():
            raise JournalDamaged(f"journal_dir {self.path} is a file; name a directory")

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
    def damaged(self) -> Path:
        return self.path / "damaged.ndjson"

    @property
    def rejected(self) -> Path:
        return self.path / "rejected.ndjson"

    def journal(self, journal: str) -> Path:
        return self.path / journal

    def current(self) -> str | None:
        """ID of the journal that new entries go to. Raises `JournalDamaged`."""
        try:
            content = json.loads((self.path / "current").read_bytes())
            journal, version = content["journal"], content["format"]
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise JournalDamaged(f"{self.path} may not be read by this user; run as its owner") from error
        except (ValueError, KeyError, TypeError) as error:
            raise JournalDamaged(
                f"{self.path / 'current'} is damaged; remove that one file, and a new journal begins beside the old"
            ) from error
        if not isinstance(version, int) or version > FORMAT:
            raise JournalDamaged(
                f"{self.path} was written by a newer whodid (format {version}, this one knows {FORMAT}); upgrade whodid"
            )
        return str(journal)

    def journals(self) -> Iterator[str]:
        """IDs of all journals in the directory, the current one last."""
        current = self.current() if self.path.is_dir() else None
        if self.path.is_dir():
            found = sorted(marker.parent.name for marker in self.path.glob("*/journal.json"))
            yield from (journal for journal in found if journal != current)
            if current in found:
                yield current

    def begin(self) -> str:
        """Makes a new, empty journal the current one and returns its ID. The caller holds the lock."""
        journal = secrets.token_hex(8)
        directory = self.journal(journal)
        directory.mkdir(mode=0o700)
        marker = directory / "journal.json"
        created = Stamp.now().creation_date
        with open_new(marker) as fd:
            inode = os.fstat(fd).st_ino
            os.write(fd, _dump({"format": FORMAT, "journal": journal, "created": created, "inode": inode}))
            os.fsync(fd)
        sync_directory(directory)
        sync_directory(self.path)
        write_file(self.path / "current", {"format": FORMAT, "journal": journal})
        return journal

    def is_copy(self, journal: str) -> bool:
        """Whether the journal's marker is missing, or was copied from elsewhere: its inode is then another."""
        marker = self.journal(journal) / "journal.json"
        try:
            content = json.loads(marker.read_bytes())
            return bool(content["journal"] != journal or content["inode"] != marker.stat().st_ino)
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def alarm(self, kind: str, about: str) -> None:
        """Notes what an operator must know. Never raises: an alarm must not stop recording."""
        now = Stamp.now().creation_date
        with suppress(OSError):  # the disk is full or gone; the caller's own error says so
            append_line(self.path / "alarms.ndjson", _dump({"time": now, "alarm": kind, "about": about}))

    def alarms(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in read_lines(self.path / "alarms.ndjson")]


def segment_name(first_seq: int) -> str:
    return f"{first_seq:020d}.ndjson"


def segments(directory: Path) -> list[Path]:
    """The segments of one journal in order. Raises `JournalDamaged` for a link in the place of one."""
    found = sorted(directory.glob("[0-9]*.ndjson"))
    for path in found:
        if path.is_symlink():
            raise JournalDamaged(f"{path} is a symbolic link; a segment must be a plain file. Put the real file back")
    return found


class open_new:  # noqa: N801 (reads as the verb it is)
    """A descriptor of a new file 0600, closed at the end of the block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def write_file(path: Path, content: object) -> None:
    """Replaces a small JSON file so that a crash leaves the old or the new one whole."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open_new(new) as fd:
        os.write(fd, _dump(content))
        os.fsync(fd)
    new.replace(path)
    sync_directory(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Appends one line, durable on return. A torn tail that a crash left is ended by a newline first."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, (b"\n" if torn else b"") + line.rstrip(b"\n") + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    if size == 0:
        sync_directory(path.parent)


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole JSON lines of a file made by `append_line`; a missing file has none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n")[:-1]:
        try:
            json.loads(line)
        except ValueError:
            continue
        yield line


def sync_directory(path: Path) -> None:
    """Makes creations and renames in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _dump(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"
