"""The node's log: one text file in the data directory, begun anew at each start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from whodid.devserver.folder import DataDir
from whodid.errors import DevServerError
from whodid.locks import is_locked

__all__ = ["follow_lines", "last_lines", "logs"]

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
