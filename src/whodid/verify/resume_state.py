"""The notebook: what is done of a verification, so that one that was stopped goes on instead of beginning anew.

The first line says which index prefix it is of; then there is a line of JSON for each slice that was walked: `asked`,
the SHA-256 of all that it was judged by (numbers, checkpoints, dead letters, erasures, holds, partitions), and what
came of it. A slice that would be judged by something else now is walked again; so is one whose line was cut off.

It is for its owner alone (0600): who can write it can have a slice pass that nobody looked at. One that another user
could have written is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from ..entry import Stamp
from ..errors import WhodidError
from ..files import open_owned
from .plan import Task
from .verdict import Finding
from .walk import Missing, Run, Walked

__all__ = ["Notebook"]

FORMAT = 1


class Notebook:
    """Open in a `with` block. `begun` is when the verification was."""

    def __init__(self, path: str | Path, index_prefix: str) -> None:
        """Raises `WhodidError` where the file can't be used."""
        self.path = Path(path).absolute()
        self._known: dict[str, Mapping[str, Any]] = {}
        self.begun = Stamp.now().creation_date
        head = {"format": FORMAT, "index_prefix": index_prefix}
        new = not os.path.lexists(self.path)
        try:
            self._file = os.fdopen(open_owned(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+b")
        except OSError as error:
            raise WhodidError(f"{path} can't be used ({error.strerror}); name another file") from error
        self._file.seek(0)
        lines = list(_objects(self._file))
        if not new and not (lines and lines[0].items() >= head.items()):
            self._file.close()
            raise WhodidError(
                f"{path} holds something else than a verification of {index_prefix}; name another file to resume"
            )
        if lines:
            self.begun = str(lines[0].get("begun"))
            self._known = {str(line.get("asked")): line for line in lines[1:]}
        else:
            self._write({**head, "begun": self.begun})

    @property
    def about(self) -> str:
        """What it had when it was opened, in words; empty for a new one."""
        if not self._known:
            return ""
        return f"gone on with: what was looked at since {self.begun} was not looked at again"

    def get(self, task: Task) -> Walked | None:
        """What came of a slice, if it was walked."""
        found = self._known.get(_asked(task))
        try:
            return _walked(found["walked"]) if found else None
        except (KeyError, TypeError):
            return None

    def put(self, task: Task, walked: Walked) -> None:
        """Raises `WhodidError`."""
        content = {**asdict(walked), "missing": [*map(list, walked.missing)], "runs": [*map(list, walked.runs)]}
        self._write({"asked": _asked(task), "walked": content})

    def remove(self) -> None:
        """The verification is over."""
        self.path.unlink(missing_ok=True)

    def _write(self, content: dict[str, Any]) -> None:
        """Begins on a new line, as the one before may have been cut off."""
        try:
            self._file.write(b"\n" + orjson.dumps(content))
            self._file.flush()
        except OSError as error:
            raise WhodidError(f"{self.path} can't be written ({error.strerror})") from error

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()


def _objects(file: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in file:
        try:
            content = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and content:
            yield content


def _asked(task: Task) -> str:
    job = task.job  # judged with the entries right before and behind it in view
    names = [part.index for part in task.parts if part.first <= job.last + 1 and part.last >= job.first - 1]
    content = {
        "journal": job.journal,
        "numbers": [job.first, job.last],
        "anchors": [[seq, sorted(one.hashes), one.who, one.time] for seq, one in sorted(job.anchors.items())],
        "letters": sorted(job.letters.items()),
        "erased": job.erased,
        "held": sorted(job.held & {*names}),
        "prefix": job.prefix,
        "partitions": sorted(names),
    }
    return sha256(orjson.dumps(content)).hexdigest()


def _walked(content: Mapping[str, Any]) -> Walked:
    return Walked(
        **{
            **content,
            "findings": [Finding(**{**one, "entries": tuple(one["entries"])}) for one in content["findings"]],
            "missing": [Missing(*one) for one in content["missing"]],
            "runs": [Run(*one) for one in content["runs"]],
        }
    )
