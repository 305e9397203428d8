"""The resume state of a verification: a file of the slices walked, so that a stopped verification can resume.

The first line names the index prefix. Then follows one line of JSON per slice: `asked`, the SHA-256 of everything that
the slice was judged by (numbers, checkpoints, dead letters, erasures, holds, partitions), and `walked`, the result. A
slice that would be judged by something else now is walked again, and so is one whose line was cut off.

The file is for its owner alone (0600), as anyone who can write it can let a slice pass unchecked. A file that another
user could have written is refused.
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
from ..text import FOREIGN, printable
from .plan import Task
from .verdict import Finding
from .walk import Missing, Run, Slice, Walked

__all__ = ["ResumeState"]

FORMAT = 1


class ResumeState:
    """Opened in a `with` block. `started` is when the verification was started."""

    def __init__(self, path: str | Path, index_prefix: str) -> None:
        """Opens or creates the file. Raises `WhodidError` if it can't be used."""
        self.path = Path(path).absolute()
        self._known: dict[str, Mapping[str, Any]] = {}
        self.started = Stamp.now().creation_date
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
            raise WhodidError(f"{path} is not the resume state of a verification of {index_prefix}; name another file")
        if lines:
            self.started = printable(lines[0].get("begun"))
            self._known = {asked: line for line in lines[1:] if isinstance(asked := line.get("asked"), str)}
        else:
            self._write({**head, "begun": self.started})

    @property
    def about(self) -> str:
        """A note about what was resumed; empty for a new file."""
        if not self._known:
            return ""
        return f"resumed: slices verified since {self.started} were not verified again"

    def get(self, task: Task) -> Walked | None:
        """The result of a slice, if it was walked."""
        found = self._known.get(_asked(task))
        try:
            return _walked(found["walked"], task.job) if found else None
        except FOREIGN:
            return None

    def put(self, task: Task, walked: Walked) -> None:
        """Saves the result of a slice. Raises `WhodidError`."""
        content = {**asdict(walked), "missing": [*map(list, walked.missing)], "runs": [*map(list, walked.runs)]}
        self._write({"asked": _asked(task), "walked": content})

    def remove(self) -> None:
        """Removes the file, once the verification is complete."""
        self.path.unlink(missing_ok=True)

    def _write(self, content: dict[str, Any]) -> None:
        """Starts a new line first, as the line before may have been cut off."""
        try:
            self._file.write(b"\n" + orjson.dumps(content))
            self._file.flush()
        except OSError as error:
            raise WhodidError(f"{self.path} can't be written ({error.strerror})") from error

    def __enter__(self) -> ResumeState:
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
    job = task.job  # the entries right before and after it are looked at, too
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


def _walked(content: Mapping[str, Any], job: Slice) -> Walked:
    """Raises one of `FOREIGN` for what is not the result of that slice."""
    walked = Walked(
        **{
            **content,
            "findings": [Finding(**{**one, "entries": tuple(one["entries"])}) for one in content["findings"]],
            "missing": [Missing(*one) for one in content["missing"]],
            "runs": [Run(*one) for one in content["runs"]],
        }
    )
    numbers: list[object] = [walked.entries, walked.present, *walked.good, *walked.bad]
    texts: list[object] = [walked.partition]
    for one in walked.findings:
        numbers += one.seq, one.last
        texts += one.kind, one.journal, one.about, one.proven, *one.entries
    for missing in walked.missing:
        numbers += missing.first, missing.last
        texts += missing.before, missing.after
    for run in walked.runs:
        numbers += run.first, run.last
        texts.append(run.mark)
    if not all(type(number) is int for number in numbers) or not all(type(text) is str for text in texts):
        raise TypeError("a value of another type")
    if (walked.journal, walked.first, walked.last) != (job.journal, job.first, job.last):
        raise ValueError("the result of another slice")
    return walked
