"""A directory as a witness: a file for each thing that is kept, on storage where nothing can be written twice.

Whoever mounts it decides what that means: a WORM volume, an export of another team's host, a disk of its own. The
witness itself never overwrites or deletes.

Crash behaviour: data is written under another name, synced, and linked to its own, so a file is whole or not there;
what a kill left over is written anew. A mount that hangs keeps its caller waiting, for as long as it hangs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import WitnessError
from ..files import read_file, sync_directory, write_new

__all__ = ["DirectoryWitness"]


class DirectoryWitness:
    """Keeps things in the directory at `path`, which must be there: a mount that is away must not be taken for one."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        return str(self._path)

    def put(self, key: str, data: bytes) -> None:
        try:
            self._put(self._path / key, data)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't keep {key}: {error.strerror or error}") from error

    def _put(self, path: Path, data: bytes) -> None:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is no directory: mount it, or make it")
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o750, exist_ok=True)
            sync_directory(self._path)
        if os.path.lexists(path):
            return self._compare(path, data)
        with suppress(FileExistsError):
            write_new(path, data, 0o440)
        return self._compare(path, data)

    def _compare(self, path: Path, data: bytes) -> None:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise WitnessError(f"{path} is no plain file; find out who put it there")
        if read_file(path) != data:
            raise WitnessError(
                f"{path} holds something else than what is to be kept there: somebody changed it, or two histories "
                "have the same name"
            )

    def each(self) -> Iterator[tuple[str, bytes]]:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is no directory: mount it, or name another")
        try:
            for path in sorted(self._path.rglob("*.json")):
                if path.is_file() and not path.is_symlink():
                    yield str(path.relative_to(self._path)), read_file(path)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't be read: {error}") from error
