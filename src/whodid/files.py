"""Durable small files: atomic replacement, durable appends, and checks of owner and mode before reading.

Invariants:
- A file is created or replaced as a whole: it is written under a temporary name, synced and renamed, and the directory
  is synced. A crash at any step leaves the old content or the new one, and perhaps an unused `NAME.THREAD.new`. The
  file is durable on return.
- A file has mode 0600 from its first byte unless another mode is given. The umask takes no permission from its owner:
  a file or directory that its owner can't open would stop recording for good. It belongs to the user who writes it,
  except that root gives a journal's files to the owner of their directory: one call as root must not lock the service
  out.
- A new file never replaces another: `write_new` and `name_new` raise `FileExistsError` if the name is taken.
- An appended line never merges with a partial line that a crash or a full disk left. Readers skip partial lines.
- Files that whodid wrote and reads back are trusted only if no other user could have written them: owner, mode and
  number of hard links are checked. They are checked on the open descriptor, because a name may be redirected between
  a check and the open.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl
from pathlib import Path
from threading import get_native_id
from typing import Any, BinaryIO

from .errors import JournalDamaged, SettingsError
from .process import by_handler, warn
from .text import json_of

__all__ = [
    "ABSENT",
    "append_line",
    "best_effort",
    "dump",
    "files_below",
    "grant_owner",
    "identity",
    "is_there",
    "linked",
    "make_directory",
    "name_new",
    "names_in",
    "new_directory",
    "of_system",
    "open_apart",
    "open_file",
    "open_new",
    "open_owned",
    "open_to_read",
    "put_in_place",
    "read_bytes",
    "read_file",
    "read_lines",
    "read_objects",
    "read_raw",
    "read_secret",
    "sync_above",
    "sync_directory",
    "sync_file",
    "why_foreign",
    "write_all",
    "write_beside",
    "write_file",
    "write_new",
    "write_parts",
    "write_private",
]


def open_apart(path: Path, flags: int, mode: int = 0o600, *, hand_over: bool = True) -> int:
    """Opens a regular file for writing and returns its descriptor; `flags` may create it, with this mode.

    The descriptor is never 0, 1 or 2: an application that has closed its standard streams still prints to these
    numbers. Raises `OSError`, and `JournalDamaged` for a file of another user.
    """
    fd = _open(path, flags, mode)
    try:
        _refuse_foreign(fd, path)
        if flags & os.O_CREAT:
            grant_owner(fd, mode)
        if hand_over:
            _hand_over(fd, path)
        apart = fd if fd >= _ABOVE_STANDARD else fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    except BaseException:
        os.close(fd)
        raise
    if apart != fd:
        os.close(fd)
    return apart


_ABOVE_STANDARD = 3


def _open(path: Path, flags: int, mode: int = 0o600) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise linked(path) from error
        raise


def _hand_over(fd: int, path: Path) -> None:
    """Gives a file that root created to the owner of its directory.

    A file with several hard links is left alone: the owner of the directory may have no right to it.
    """
    if os.geteuid() == 0:
        status, above = os.fstat(fd), path.parent.stat()
        if status.st_uid == 0 != above.st_uid and status.st_nlink == 1:
            with suppress(PermissionError):  # root in a container may lack the capability
                os.fchown(fd, above.st_uid, above.st_gid)


def grant_owner(fd: int, mode: int) -> None:
    """Gives the owner of a new, empty file the permissions in `mode` that the umask removed."""
    about = os.fstat(fd)
    if about.st_size == 0 and ~about.st_mode & mode & stat.S_IRWXU:
        os.fchmod(fd, stat.S_IMODE(about.st_mode) | mode & stat.S_IRWXU)


def new_directory(path: Path, mode: int = 0o700) -> None:
    """Creates a directory; whatever the umask, its owner may use it. Raises `OSError`."""
    path.mkdir(mode)
    made = path.stat().st_mode
    if ~made & stat.S_IRWXU:
        path.chmod(stat.S_IMODE(made) | stat.S_IRWXU)


def make_directory(path: Path) -> None:
    """Creates a directory 0700; as root, for the owner of its parent directory. Raises `OSError`."""
    new_directory(path)
    if os.geteuid() == 0:
        above = path.parent.stat()
        with suppress(PermissionError):
            os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


class open_new:  # noqa: N801 (used like a function)
    """Opens a new file 0600 for the length of a block; yields the descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._fd = open_apart(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def of_system(error: BaseException) -> bool:
    """Whether the operating system raised the error, and no signal handler; many a `TimeoutError` has no number."""
    return isinstance(error, OSError) and error.errno is not None and not by_handler(error)


class best_effort:  # noqa: N801 (used like a function)
    """Ignores errors of the system inside a block: all, and files that are not trusted; or only those of some kinds."""

    def __init__(self, *kinds: type[OSError]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, JournalDamaged):
            return not self._kinds
        return isinstance(error, self._kinds or OSError) and of_system(error)


def read_file(path: Path) -> bytes:
    """Reads a whole file. Raises `OSError`, and `JournalDamaged` for a symbolic link or a file of another user."""
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> BinaryIO:
    """Opens a file for reading. Raises as `read_file`."""
    return os.fdopen(open_to_read(path), "rb")


def open_to_read(path: Path) -> int:
    """Opens a file for reading and returns the descriptor. Raises as `read_file`."""
    fd = _open(path, os.O_RDONLY)
    try:
        _refuse_foreign(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_foreign(fd: int, path: Path) -> None:
    """Raises `JournalDamaged` for a foreign file; hard links are allowed, since backups may link closed segments."""
    if why := why_foreign(os.fstat(fd), path.parent.stat().st_uid):
        raise JournalDamaged(f"{path} is not trusted: {why}. Find out who created it, and move it away")


def linked(path: Path | str) -> JournalDamaged:
    """The error for a symbolic link among a journal's files."""
    return JournalDamaged(
        f"{path} is a symbolic link; the journal's files must be regular files. Put the real file back"
    )


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`. Raises `OSError`, also if only a part of it fits."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes fit")


def write_file(path: Path, content: bytes) -> None:
    """Replaces a small file of a journal."""
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes], *, like: os.stat_result | None = None) -> None:
    """As `write_file`, from several parts; the file gets the mode and the times of `like`."""
    put_in_place(write_beside(path, parts, like=like, hand_over=True), path)


def write_private(path: Path, content: bytes) -> None:
    """Replaces a small file that belongs to this user, even if this user is root."""
    put_in_place(write_beside(path, [content]), path)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Creates a small file. Raises `FileExistsError` if the name is taken."""
    new = write_beside(path, [content], mode)
    try:
        name_new(new, path)
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_beside(
    path: Path,
    parts: Iterable[bytes],
    mode: int = 0o600,
    *,
    like: os.stat_result | None = None,
    hand_over: bool = False,
) -> Path:
    """Writes and syncs a temporary file beside `path`, for `put_in_place` or `name_new`; an error leaves no file."""
    new = path.with_name(f"{path.name}.{get_native_id()}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        fd = open_apart(new, flags, mode, hand_over=hand_over)
    except FileExistsError:  # left by a killed thread that had the same number
        new.unlink()
        fd = open_apart(new, flags, mode, hand_over=hand_over)
    try:
        try:
            for part in parts:
                write_all(fd, part)
            if like is not None:
                os.fchmod(fd, stat.S_IMODE(like.st_mode))
                os.utime(fd, ns=(like.st_atime_ns, like.st_mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with best_effort():
            new.unlink()
        raise
    return new


def put_in_place(new: Path, path: Path) -> None:
    """Renames a synced file to the one that it replaces; durable on return."""
    try:
        new.replace(path)
    except OSError:
        with best_effort():
            new.unlink()
        raise
    sync_directory(path.parent)


def name_new(new: Path, path: Path) -> None:
    """Gives a synced file an unused name; `sync_directory` makes it durable. Raises `FileExistsError`."""
    try:
        os.link(new, path)  # unlike a rename, refuses to replace a file
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _taken(path) from None
        new.rename(path)
    else:
        new.unlink()


_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems without hard links."""


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def append_line(path: Path, *lines: bytes) -> None:
    """Appends lines; durable on return. Raises `OSError`, and may then leave a partial line, which readers skip."""
    data = b"".join([line.rstrip(b"\n") + b"\n" for line in lines])
    fd = open_apart(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        if os.fstat(fd).st_size == 0:
            sync_directory(path.parent)  # before the first line, so that a line that is read is durable
        write_all(fd, data)
        start = os.lseek(fd, 0, os.SEEK_CUR) - len(data)
        if start and os.pread(fd, 1, start - 1) != b"\n":  # the data was appended to a partial line
            write_all(fd, b"\n" + data)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file written by `append_line` that are JSON objects; none if the file is missing."""
    return (line for line, _ in read_objects(path))


def read_objects(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """As `read_lines`, each line with its parsed object."""
    for line in read_raw(path):
        try:
            content = json_of(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield line, content


def read_raw(path: Path) -> Iterator[bytes]:
    """Every complete line, whatever its content."""
    try:
        file = open_file(path)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


ABSENT = FileNotFoundError, NotADirectoryError
"""The errors of the system by which there is no such file. A signal handler may raise them as well."""


def names_in(path: Path) -> list[str]:
    """The names in a directory, sorted; none if it does not exist. Raises `OSError`, which `Path.glob` would ignore."""
    with best_effort(*ABSENT):
        return sorted(os.listdir(path))  # noqa: PTH208 (`iterdir` on 3.11 and `scandir` stay open when interrupted)
    return []


def files_below(path: Path, suffix: str) -> list[Path]:
    """The files in a directory, and in those below it, whose names end so; sorted. Raises `OSError` as `names_in`."""
    found = os.walk(path, onerror=_raised)
    return sorted(Path(folder, name) for folder, _, names in found for name in names if name.endswith(suffix))


def _raised(error: OSError) -> None:
    raise error


def is_there(path: Path) -> bool:
    """Whether there is such a file or directory. Raises `OSError` if that is unknown; `Path.exists` would deny it."""
    with best_effort(*ABSENT):
        path.stat()
        return True
    return False


def sync_directory(path: Path) -> None:
    """Makes creations and renames in the directory `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Makes durable what is in a file: the process that wrote it may have been killed before it synced it."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_above(path: Path) -> None:
    """Makes the name of the directory `path` durable, if this user has the permission."""
    with suppress(PermissionError):
        sync_directory(path.resolve().parent)


def dump(content: object) -> bytes:
    """A value as one line of JSON."""
    return json.dumps(content).encode() + b"\n"


def identity(fd: int) -> dict[str, int]:
    """What distinguishes a file from a copy of it: its inode number and, if the file system has one, its generation.

    An inode number may be reused at once by the copy that replaces the file.
    """
    found = {"inode": os.fstat(fd).st_ino}
    with best_effort():  # not every file system has generations
        found["generation"] = int.from_bytes(ioctl(fd, _GENERATION, bytes(8))[:4], sys.byteorder)
    return found


_GENERATION = 0x80087601
"""FS_IOC_GETVERSION of Linux; an error on other systems."""


def open_owned(path: Path, flags: int) -> int:
    """Opens a file that only this user or root can have written; `flags` may create it with mode 0600.

    Raises `OSError`; its `strerror` says why the file is not trusted.
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if why := why_foreign(os.fstat(fd)) or _why_shared(os.fstat(fd)):
        os.close(fd)
        raise PermissionError(errno.EPERM, why, str(path))
    if flags & os.O_CREAT:
        grant_owner(fd, 0o600)
    return fd


def why_foreign(about: os.stat_result, *trusted: int) -> str:
    """Why a file belongs neither to this user, nor to root or a `trusted` user; empty if it does."""
    if not stat.S_ISREG(about.st_mode):
        return "it is not a regular file"
    if about.st_uid not in (os.geteuid(), 0, *trusted):
        return f"it belongs to another user, {about.st_uid}"
    return ""


def _why_shared(about: os.stat_result) -> str:
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to it: its mode is {stat.S_IMODE(about.st_mode):04o}"
    if about.st_nlink != 1:
        return "it has more than one hard link"
    return ""


def read_secret(setting: str, name: str) -> str:
    """The text of the file that a setting such as `opensearch_password_file` names, without its final newline.

    Warns if other users can read the file. Raises `SettingsError`.
    """
    data, about = _read(setting, name)
    if about.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{name} is readable by other users; set its mode to 0600", stacklevel=4)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {name!r} is not UTF-8 text") from None


def read_bytes(setting: str, name: str) -> bytes:
    """The content of the file that a setting names. Raises `SettingsError`, also if any user may write to it."""
    return _read(setting, name)[0]


def _read(setting: str, name: str) -> tuple[bytes, os.stat_result]:
    """The content and the status of a file. It may be a symbolic link: Kubernetes mounts secrets as links."""
    try:
        with Path(name).open("rb") as file:
            about, data = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise SettingsError(f"{setting}: {name!r} can't be read ({error.strerror})") from error
    if about.st_mode & stat.S_IWOTH:
        raise SettingsError(f"{setting}: any user may write to {name!r}; set its mode to 0600 and replace its content")
    return data, about
