"""The journal directory: where it lies, whose it is, who may get at it, and what it has to tell."""

from __future__ import annotations

import os
import pwd
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..locks import holders, is_stopped
from ..shipping.status import DirectoryStatus, directory_status
from .disk import existing
from .finding import Finding, ok, problem, warning
from .mount import mount_of
from .subject import Subject

__all__ = ["examine"]


def examine(subject: Subject) -> Iterator[Finding]:
    path = subject.journal_dir
    yield from _place(subject)
    if not path.exists():
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
        yield warning(subject.journal_dir, mount.loses, "put journal_dir on a disk or volume that outlives the process")
    elif mount:
        yield ok(subject.journal_dir, f"lies on {mount.kind} at {mount.point}")


def _missing(path: Path) -> Iterator[Finding]:
    if os.access(existing(path), os.W_OK | os.X_OK):
        yield warning(
            path, "there is no journal yet", "the first entry makes it; if there should be one, check journal_dir"
        )
    else:
        yield problem(
            path,
            "there is no journal, and this user can't make it",
            f"make it for the user who records: install -d -m 0700 -o USER {path}",
        )


def _owner(path: Path) -> Iterator[Finding]:
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner):
        yield problem(
            path,
            f"belongs to {_user(owner)}, and this is {_user(os.geteuid())}",
            f"record, ship and examine as {_user(owner)}",
        )
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield problem(path, "its own user may not write to it", f"chmod u=rwx {path}")
    else:
        yield ok(path, f"belongs to {_user(owner)}")


def _files(path: Path) -> Iterator[Finding]:
    """Of the directory, the journals in it and their files; who began as root may have left some behind."""
    owner = path.stat().st_uid
    for one in (path, *_below(path)):
        about = one.lstat()
        if stat.S_ISLNK(about.st_mode):
            if one != path:
                yield problem(
                    one, "is a symbolic link; the journal's files must be plain files", "put the real file back"
                )
            continue
        if stat.S_IMODE(about.st_mode) & 0o077:
            yield problem(
                one, f"others than its owner may get at it (mode {stat.S_IMODE(about.st_mode):04o})", f"chmod go= {one}"
            )
        if about.st_uid != owner:
            yield problem(
                one, f"belongs to {_user(about.st_uid)}, the directory to {_user(owner)}", f"chown {_user(owner)} {one}"
            )


def _below(path: Path) -> Iterator[Path]:
    for one in sorted(path.iterdir()):
        yield one
        if one.is_dir() and not one.is_symlink():
            yield from sorted(one.iterdir())


def _locks(path: Path) -> Iterator[Finding]:
    for name in ("lock", "durable", "dead-letters.lock"):
        for holder in holders(path / name):
            if is_stopped(holder):
                yield problem(
                    path / name,
                    f"is held by {holder}, which is stopped: nobody else can record",
                    f"kill -CONT {holder.pid}, or end it",
                )
            else:
                yield ok(path / name, f"is held by {holder}")


def _content(status: DirectoryStatus) -> Iterator[Finding]:
    at = Path(status.journal_dir)
    if status.damaged:
        yield problem(
            at / "damaged.ndjson",
            f"{status.damaged:,} damaged lines: edited by hand, or a failing disk",
            "compare them with `whodid verify`; check the disk",
        )
    for one in status.missing:
        what, _, advice = one.partition("; ")
        yield problem(at / "missing.ndjson", what, advice)
    if status.rejected:
        yield warning(
            at / "rejected.ndjson",
            f"{status.rejected:,} calls broke the catalog and are no entries",
            "read them there, and mend the calls or the catalog",
        )
    if status.not_recorded:
        yield problem(
            at / "not-recorded",
            f"{status.not_recorded:,} calls were not recorded (on_failure = warn), or rejected and not kept",
            "look for the warnings in the application's log; what they did is not in the audit log",
        )
    kinds = Counter(alarm["alarm"] for alarm in status.alarms)
    for kind, count in kinds.items():
        last = next(alarm for alarm in reversed(status.alarms) if alarm["alarm"] == kind)
        yield warning(
            at / "alarms.ndjson",
            f"{count:,} × {kind}, last at {last['time']}: {last['about']}",
            "`whodid help reliability` says what each means; keep the file, it is evidence",
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
