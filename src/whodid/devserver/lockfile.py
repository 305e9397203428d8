"""The lock file: which exact Maven files make up the home, each with its SHA-256.

Format of `jars-VERSION.lock`: UTF-8 lines, sorted by folder and name; lines that start with `#` are comments. Each
other line has four fields separated by single spaces:

    SHA256 SIZE FOLDER GROUP:ARTIFACT:VERSION:PACKAGING

SHA-256 in 64 lower-case hex digits, size in bytes, folder relative to the home. No file name comes twice in
one folder. `tools/lock_jars.py` writes it; nothing is resolved when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from whodid.errors import DevServerError

__all__ = ["LockedJar", "lock_hash", "parse_lock", "read_lock", "render_lock"]


@dataclass(frozen=True, order=True)
class LockedJar:
    """One file of the home: where it goes, what it is called at Maven, and what it must contain."""

    folder: str
    group: str
    artifact: str
    version: str
    packaging: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.{self.packaging}"

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip to be unpacked."""
        return self.packaging == "zip"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}:{self.packaging}"


def parse_lock(text: str, name: str = "the lock file") -> tuple[LockedJar, ...]:
    """Read the format above; raises DevServerError that names the line."""
    return tuple(
        _parse_line(line, number, name)
        for number, line in enumerate(text.splitlines(), start=1)
        if line and not line.startswith("#")
    )


def _parse_line(line: str, number: int, name: str) -> LockedJar:
    try:
        sha256, size, folder, coordinate = line.split(" ")
        group, artifact, version, packaging = coordinate.split(":")
        if len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
            raise ValueError("not a SHA-256")
        return LockedJar(folder, group, artifact, version, packaging, int(size), sha256)
    except ValueError as error:
        raise DevServerError(
            f"{name}, line {number}: {error}; install whodid again, or run tools/lock_jars.py"
        ) from error


def render_lock(jars: Iterable[LockedJar]) -> str:
    """The inverse of `parse_lock`, without comments."""
    return "".join(f"{jar.sha256} {jar.size} {jar.folder} {jar.coordinate}\n" for jar in sorted(jars))


def read_lock(name: str) -> tuple[LockedJar, ...]:
    """A lock file that this version of whodid carries."""
    return parse_lock(resources.files("whodid.devserver").joinpath(name).read_text("utf-8"), name)


def lock_hash(jars: Iterable[LockedJar]) -> str:
    """Names a set of jars; changes with any file, version or folder."""
    return hashlib.sha256(render_lock(jars).encode()).hexdigest()[:16]
