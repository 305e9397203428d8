"""The owned file: one that only this user, or root, can have written, which is looked at once it is open.

A name may lead to another file from one moment to the next; a descriptor doesn't. What whodid wrote itself and reads
back is trusted, so nobody else may be able to write it: by owner, by mode, or by another name of the same file.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["open_owned", "why_foreign"]

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def open_owned(path: Path, flags: int) -> int:
    """A descriptor of the file, 0600 where it is made. Raises `OSError`, whose `strerror` says why it isn't trusted."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if why := why_foreign(os.fstat(fd)) or _why_shared(os.fstat(fd)):
        os.close(fd)
        raise PermissionError(errno.EPERM, why, str(path))
    return fd


def why_foreign(about: os.stat_result, *trusted: int) -> str:
    """Why a file is not one of this user's, of root's, or of the users that are `trusted`, in words; empty if it is."""
    if not stat.S_ISREG(about.st_mode):
        return "it is not a regular file"
    if about.st_uid not in (os.geteuid(), 0, *trusted):
        return f"it belongs to another user, {about.st_uid}"
    return ""


def _why_shared(about: os.stat_result) -> str:
    if about.st_mode & _OTHERS:
        return f"other users may write to it: its mode is {stat.S_IMODE(about.st_mode):04o}"
    if about.st_nlink != 1:
        return "it has another name: it is a hard link"
    return ""
