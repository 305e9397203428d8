"""The record of a node, in its data directory: which processes are it, and where it listens.

Format of `node.json` (mode 0600, one JSON object, replaced by rename): `format` 1; `node` and `guard`, each
with `pid` and `started` (seconds, see `_born`); `port`; `version`; `detached`; `secured`. It is
written once the node is ready and removed when it is stopped. A node that died leaves it behind, which is
harmless: a process is only taken for the recorded one when both PID and start time agree, so a recycled PID
is never killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from whodid.devserver.folder import missing_extra
from whodid.errors import DevServerError
from whodid.files import open_owned, write_private

__all__ = ["NodeRecord", "ProcessMark", "forget_record", "read_record", "write_record"]

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
