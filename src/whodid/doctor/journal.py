"""Checks of the journal directory: disk space, file system, owner and access, content, and the state of shipping."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..files import is_there
from ..journal import Acknowledged, JournalDirectory, JournalReader, Line
from ..journal.directory import segment_size, segments
from ..locks import holders, is_held, is_stopped
from ..shipping.status import DirectoryStatus, JournalStatus, directory_status
from .finding import Finding, Subject, first_moment, moment, ok, problem, warning

__all__ = ["Mount", "examine", "mount_of"]

_LEAST_FILES = 1000
_SOON = 24 * 3600
_SHORTEST = 60
"""Minimum seconds that a journal must span to estimate its growth."""


def examine_disk(subject: Subject) -> Iterator[Finding]:
    place = existing(subject.journal_dir)
    about = os.statvfs(place)
    used, rate = _used(subject)
    yield _space(subject, place, about.f_bavail * about.f_frsize, rate)
    if about.f_files and about.f_favail < _LEAST_FILES:
        found = problem if about.f_favail < 10 else warning
        yield found(
            place, f"the file system has {about.f_favail} inodes left", "remove small files there, or add inodes"
        )
    if subject.settings.max_bytes:
        yield _limit(subject, used)


def existing(path: Path) -> Path:
    """Return the path, or its nearest existing parent."""
    return next(one for one in (path, *path.absolute().parents) if is_there(one))


def _space(subject: Subject, place: Path, free: int, rate: float) -> Finding:
    enough = 2 * subject.settings.segment_bytes
    lasts = free / rate if rate else float("inf")
    state = f"{_size(free)} free" + (f", enough for {_span(lasts)} at {_size(rate * 3600)} an hour" if rate else "")
    advice = "free space there, or move journal_dir; if entries are waiting, check that `whodid ship` runs"
    if free < subject.settings.segment_bytes // 4:
        return problem(place, f"the disk is nearly full: {state}. Calls will fail soon", advice)
    if free < enough:
        return warning(place, f"low disk space: {state}", advice)
    if lasts < _SOON:
        return warning(place, f"{state}: a day without OpenSearch would fill it", "move journal_dir to a larger disk")
    return ok(place, state)


def _limit(subject: Subject, used: int) -> Finding:
    limit = subject.settings.max_bytes
    state = f"{_size(used)} of max_bytes = {_size(limit)} are used"
    advice = "check that `whodid ship` runs and makes progress, or increase max_bytes"
    if used + 65536 > limit:
        return problem(subject.journal_dir, f"{state}: calls fail", advice)
    if used > 0.8 * limit:
        return warning(subject.journal_dir, state, advice)
    return ok(subject.journal_dir, state)


def _used(subject: Subject) -> tuple[int, float]:
    """Return the bytes that count towards `max_bytes`, and the growth of the current journal in bytes per second."""
    directory = JournalDirectory(subject.journal_dir)
    used, rate = directory.bytes_beside(), 0.0
    current = directory.current()
    for journal in directory.journals():
        found = segments(directory.journal(journal))
        size = sum(map(segment_size, found))
        started = first_moment(found[0]) if found and journal == current else None
        if started is not None:
            span = found[-1].stat().st_mtime - started.timestamp()
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


_MEMORY = {"tmpfs", "ramfs"}
_CONTAINER = {"overlay", "aufs"}
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "beegfs",
    "gpfs",
    "9p",
    "virtiofs",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    point: str
    kind: str
    read_only: bool

    @property
    def loses(self) -> str:
        """Describe how data on this file system can be lost; empty for a disk."""
        if self.kind in _MEMORY:
            return f"is in memory ({self.kind}): unshipped entries are lost when the host or the pod restarts"
        if self.kind in _CONTAINER:
            return f"is in the layer of the container ({self.kind}): unshipped entries are lost with the container"
        if self.kind in _NETWORK or self.kind.startswith("fuse"):
            return (
                f"is on a network or user-space file system ({self.kind}): recording stops when it is unavailable, "
                "and its server decides whether locks and syncs are reliable"
            )
        return ""


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Find the mount of `path` in the text of `/proc/PID/mountinfo` (proc(5)); of several, the last one wins."""
    found: Mount | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if len(fields) < 6 or not about:
            continue
        point = _unescaped(fields[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            read_only = "ro" in fields[5].split(",") or "ro" in about[-1].split(",")
            found = Mount(point, about[0], read_only)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def examine(subject: Subject) -> Iterator[Finding]:
    path = subject.journal_dir
    yield from _place(subject)
    if not is_there(path):
        yield from _missing(path)
        return
    if path.is_dir():
        yield from _owner(path)
        yield from _files(path)
        yield from _locks(path)
    yield from _content(directory_status(str(path)))


def _place(subject: Subject) -> Iterator[Finding]:
    place = existing(subject.journal_dir).resolve()
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        yield problem(place, "the file system is read-only: nothing can be recorded", "mount it for writing")
    try:
        text = subject.mountinfo.read_text()
    except OSError:
        return  # not Linux
    mount = mount_of(place, text)
    if mount and mount.loses:
        yield warning(subject.journal_dir, mount.loses, "move journal_dir to a disk or a persistent volume")
    elif mount:
        yield ok(subject.journal_dir, f"is on {mount.kind} at {mount.point}")


def _missing(path: Path) -> Iterator[Finding]:
    if os.access(existing(path), os.W_OK | os.X_OK):
        yield warning(path, "does not exist yet", "the first entry creates it; if it should exist, check journal_dir")
    else:
        yield problem(
            path,
            "does not exist, and this user can't create it",
            f"create it for the user who records: install -d -m 0700 -o USER {path}",
        )


def _owner(path: Path) -> Iterator[Finding]:
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner):
        yield problem(
            path,
            f"belongs to {_user(owner)}, but this user is {_user(os.geteuid())}",
            f"run the application, the shipper and the doctor as {_user(owner)}",
        )
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield problem(path, "its owner may not write to it", f"chmod u=rwx {path}")
    else:
        yield ok(path, f"belongs to {_user(owner)}")


def _files(path: Path) -> Iterator[Finding]:
    """Check type, mode and owner of the directory and its files; a process started as root may have created some."""
    owner = path.stat().st_uid
    for one in (path, *_below(path)):
        about = one.lstat()
        if stat.S_ISLNK(about.st_mode):
            if one != path:
                yield problem(
                    one, "is a symbolic link; files of a journal must be regular files", "restore the real file"
                )
            continue
        if stat.S_IMODE(about.st_mode) & 0o077:
            yield problem(
                one, f"is accessible to other users (mode {stat.S_IMODE(about.st_mode):04o})", f"chmod go= {one}"
            )
        if about.st_uid != owner:
            yield problem(
                one,
                f"belongs to {_user(about.st_uid)}, the directory to {_user(owner)}",
                f"chown {_user(owner)} {one}",
            )


def _below(path: Path) -> Iterator[Path]:
    for one in sorted(path.iterdir()):
        yield one
        if one.is_dir() and not one.is_symlink():
            with suppress(PermissionError):  # its owner is reported, or its mode
                yield from sorted(one.iterdir())


def _locks(path: Path) -> Iterator[Finding]:
    for name in ("lock", "durable", "dead-letters.lock"):
        for holder in holders(path / name):
            if is_stopped(holder):
                yield problem(
                    path / name,
                    f"is held by {holder}, which is suspended: no other process can record",
                    f"kill -CONT {holder.pid}, or terminate it",
                )
            else:
                yield ok(path / name, f"is held by {holder}")


def _content(status: DirectoryStatus) -> Iterator[Finding]:
    at = Path(status.journal_dir)
    if status.damaged:
        yield problem(
            at / "damaged.ndjson",
            f"{status.damaged:,} damaged lines: manipulation, or a failing disk",
            "compare them with `whodid verify`; check the disk",
        )
    for one in status.missing:
        what, _, advice = one.partition("; ")
        yield problem(at / "missing.ndjson", what, advice)
    if status.rejected:
        yield warning(
            at / "rejected.ndjson",
            f"{status.rejected:,} calls violated the catalog and were not recorded",
            "read them there, and fix the calls or the catalog",
        )
    for one in status.reduced:
        yield warning(at / "recording.json", one, "if that is not intended, change the setting `record` there")
    if status.not_recorded:
        yield problem(
            at / "not-recorded",
            f"{status.not_recorded:,} calls were not recorded (on_failure = warn), or rejected and not saved",
            "see the warnings in the log of the application; these actions are missing in the audit log",
        )
    kinds = Counter(alarm["alarm"] for alarm in status.alarms)
    for kind, count in kinds.items():
        last = next(alarm for alarm in reversed(status.alarms) if alarm["alarm"] == kind)
        yield warning(
            at / "alarms.ndjson",
            f"{count:,} × {kind}, last at {last['time']}: {last['about']}",
            "`whodid help reliability` explains the alarms; keep the file, it is evidence",
        )
    for journal in status.journals:
        yield ok(
            at / journal.journal,
            f"{journal.last_seq:,} entries, {journal.bytes:,} bytes in {journal.segments} segments",
        )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


_LATE = timedelta(minutes=5)
_VERY_LATE = timedelta(hours=1)


def examine_shipping(subject: Subject) -> Iterator[Finding]:
    path = subject.journal_dir
    if not path.is_dir():
        return  # the area `journal` reports that
    status = directory_status(str(path))
    if status.journals:
        yield _shipper(subject, status.backlog)
    for journal in status.journals:
        if journal.backlog:
            yield _waiting(subject, journal)
    if status.dead_letters:
        yield problem(
            path / "dead-letters.ndjson",
            f"{status.dead_letters:,} dead letters: entries that OpenSearch rejected",
            "`whodid dead-letters list` shows the reasons; retry or discard them",
        )


def _shipper(subject: Subject, backlog: int) -> Finding:
    lock = JournalDirectory(subject.journal_dir).ship_lock
    shown = holders(lock)
    if shown or is_held(lock):
        by = " and ".join(map(str, shown)) or "a process that is not visible here"
        return ok(lock, f"{by} is shipping; {backlog:,} entries are waiting")
    found = problem if backlog else warning
    waiting = f"{backlog:,} entries are waiting" if backlog else "new entries will wait"
    return found(lock, f"no shipper is running: {waiting}", "start `whodid ship` as a service, or configure(ship=True)")


def _waiting(subject: Subject, journal: JournalStatus) -> Finding:
    oldest = _oldest(subject, journal.journal)
    age = datetime.now(UTC) - oldest if oldest else timedelta(0)
    since = f", the oldest for {age.total_seconds():,.0f} s" if oldest else ""
    on, what = subject.journal_dir / journal.journal, f"{journal.backlog:,} entries are waiting to be shipped{since}"
    if age < _LATE:
        return ok(on, what)
    advice = "check that `whodid ship` runs, its log, and the findings of the area connection"
    return problem(on, what, advice) if age > _VERY_LATE else warning(on, what, advice)


def _oldest(subject: Subject, journal: str) -> datetime | None:
    place = JournalDirectory(subject.journal_dir).journal(journal)
    lines = JournalReader(place, Acknowledged.read(place).seq).read(1 << 16)
    return next((moment(line.raw) for line in lines if isinstance(line, Line)), None)
