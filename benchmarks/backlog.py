"""The backlog: a journal of ready-made entries, made once in a process of its own and shipped again and again.

`python -m benchmarks.backlog FOLDER ENTRIES` makes one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

import whodid
from whodid.entry import entry_id, partition_name

from .case import EVENT, IN_CALL, REQUEST

__all__ = ["lines", "make_backlog", "requests", "rewind"]

_BATCH = 500


def make_backlog(folder: Path, entries: int) -> None:
    """Records that many entries into a new journal directory; the target of each says its number."""
    command = [sys.executable, "-m", "benchmarks.backlog", str(folder), str(entries)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)


def rewind(folder: Path) -> None:
    """Nothing was shipped."""
    for name in ("acknowledged", "checkpoints.ndjson", "witnessed.json"):
        for file in folder.rglob(name):
            file.unlink()


def lines(folder: Path) -> Iterator[bytes]:
    """The journalled lines, in order, each with its newline."""
    for path in sorted(folder.rglob("*.ndjson")):
        with path.open("rb") as file:
            yield from file


def requests(folder: Path, prefix: str = "") -> Iterator[bytes]:
    """Bulk requests with all of them, each for its monthly partition of `prefix`, or for the index of the request."""
    request: list[bytes] = []
    for line in lines(folder):
        entry = orjson.loads(line)
        place = {"_index": partition_name(prefix, "month", entry["creation_date"])} if prefix else {}
        request += [orjson.dumps({"create": {**place, "_id": entry_id(entry)}}), b"\n", line]
        if len(request) == 3 * _BATCH:
            yield b"".join(request)
            request = []
    if request:
        yield b"".join(request)


def _record(folder: str, entries: int) -> None:
    whodid.configure(settings=whodid.Settings(journal_dir=folder, echo=False, durability="process"))
    log = whodid.get_logger()
    with whodid.context(**REQUEST):
        for number in range(entries):
            log.audit(EVENT, **{**IN_CALL, "target": str(number)})


if __name__ == "__main__":
    _record(sys.argv[1], int(sys.argv[2]))
