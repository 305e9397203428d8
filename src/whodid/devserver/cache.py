"""The jar cache: verified files, named by their SHA-256.

Format: `jars/SHA256/FILENAME`. Invariant: a file under `jars/` had its SHA-256 when it was put there, by
rename; it is never written in place. Downloads go to `partial/RANDOM/`. A kill at any moment leaves at most a
folder in `partial/`, which the next holder of the lock removes. What the disk breaks later is found when
the home is verified (`whodid.devserver.home`), dropped here and fetched again. One process at a time: the
caller holds `cache_lock`.

The lock file: which exact Maven files make up the home, each with its SHA-256.

Format of `jars-VERSION.lock`: UTF-8 lines, sorted by folder and name; lines that start with `#` are comments. Each
other line has four fields separated by single spaces:

    SHA256 SIZE FOLDER GROUP:ARTIFACT:VERSION:PACKAGING

SHA-256 in 64 lower-case hex digits, size in bytes, folder relative to the home. No file name comes twice in
one folder. `tools/lock_jars.py` writes it; nothing is resolved when it is read.

Maven, by way of jgo: the one module that imports it, so that its untyped objects stop here.

A file is always downloaded into a fresh folder that the caller gives, since jgo takes whatever lies in its
cache as complete; `~/.m2` is neither read nor written. `WHODID_MAVEN_MIRROR` replaces Maven Central by
another repository, such as a company's mirror.

The archive: a plugin's zip, kept in the home and unpacked beside it, with the one line in it that is changed.

The descriptor's `extended.plugins` is emptied: the Security plugin names one that Maven does not have and that it can
do without. Every other file is as it was in the zip, which whoever verifies the home compares by size and CRC-32.

Component: one folder of the OpenSearch home, with the Maven artifacts it is made from.

The lock file of a release gives the exact files. A component with a descriptor gets the `plugin-descriptor.properties`
that OpenSearch asks of modules and plugins; one with an archive (a plugin's zip) brings its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from whodid.devserver.folder import missing_extra
from whodid.errors import DevServerError
from whodid.locks import hold_lock

from .folder import OnProgress, Progress

if TYPE_CHECKING:
    from jgo.maven import MavenContext

__all__ = [
    "ARCHIVES",
    "MIRROR_VARIABLE",
    "SECURITY",
    "Component",
    "Descriptor",
    "JarCache",
    "LockedJar",
    "cache_lock",
    "is_intact",
    "is_unpacked",
    "lock_hash",
    "maven_context",
    "maven_download",
    "mirror_shown",
    "parse_lock",
    "read_lock",
    "render_lock",
    "unpack",
]


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


MIRROR_VARIABLE = "WHODID_MAVEN_MIRROR"
READ_TIMEOUT_SECONDS = 30


def maven_context(cache: Path, on_bytes: Callable[[int], None] | None = None) -> MavenContext:
    """A jgo context that keeps its files under `cache` and honours the mirror."""
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise missing_extra("jgo") from error
    mirror = os.environ.get(MIRROR_VARIABLE)
    return MavenContext(
        resolver=PythonResolver(progress_callback=_byte_counter(on_bytes) if on_bytes else None),
        repo_cache=cache,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=READ_TIMEOUT_SECONDS,
    )


def _byte_counter(
    on_bytes: Callable[[int], None],
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    @contextmanager
    def counter(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield on_bytes

    return counter


def maven_download(jar: LockedJar, folder: Path, on_bytes: Callable[[int], None]) -> Path:
    """Download one file below `folder`, unchecked; `on_bytes` may raise to break off.

    Raises OSError (every error of requests is one) or RuntimeError (not in the repository).
    """
    context = maven_context(folder, on_bytes)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact(packaging=jar.packaging).resolve())


def mirror_shown() -> str:
    """The repository as it may be shown: a password in the mirror's URL stays out of messages and logs."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return "Maven Central"
    parts = urlsplit(mirror)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


WORKERS = 6
TRIES = 3
RETRY_SECONDS = 0.5
LOCK_SECONDS = 600.0


@contextmanager
def cache_lock(folder: Path, on_progress: OnProgress) -> Iterator[None]:
    """Hold the cache's lock; a second process waits until the first has fetched what both need."""
    folder.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        on_progress(Progress("download", 0, 0, "waiting for another whodid that is filling the cache"))

    with hold_lock(folder / "lock", LOCK_SECONDS, waiting) as held:
        if held is None:
            raise DevServerError(
                f"another process holds {folder / 'lock'} for more than {LOCK_SECONDS:.0f} s; "
                "end it, or point WHODID_CACHE_DIR at another folder"
            )
        yield


def is_intact(file: Path, jar: LockedJar) -> bool:
    """Whether the file is there and has the size and SHA-256 that the lock file asks for."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return stream.tell() == jar.size and digest == jar.sha256
    except FileNotFoundError:
        return False


class _AbandonedError(Exception):
    """Another download failed, or the user broke off."""


class JarCache:
    """The verified jars below one cache folder."""

    def __init__(self, folder: Path) -> None:
        self._jars = folder / "jars"
        self._partial = folder / "partial"

    def path(self, jar: LockedJar) -> Path:
        """Where the jar lies, or will lie."""
        return self._jars / jar.sha256 / jar.filename

    def drop_damaged(self, jars: Iterable[LockedJar]) -> int:
        """Remove the jars whose content has changed since they were fetched; returns how many."""
        damaged = [jar for jar in jars if self.path(jar).exists() and not is_intact(self.path(jar), jar)]
        for jar in damaged:
            self.path(jar).unlink()
        return len(damaged)

    def fetch(self, jars: Sequence[LockedJar], on_progress: OnProgress) -> None:
        """Download what is missing; raises DevServerError on the first file that can't be had."""
        shutil.rmtree(self._partial, ignore_errors=True)
        missing = list({self.path(jar): jar for jar in jars if not self.path(jar).exists()}.values())
        if not missing:
            return
        self._partial.mkdir(parents=True)
        abandon = threading.Event()
        on_bytes = _byte_progress(sum(jar.size for jar in missing), abandon, on_progress)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="whodid-download") as pool:
            try:
                futures = [pool.submit(self._fetch_one, jar, abandon, on_bytes) for jar in missing]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                abandon.set()
                pool.shutdown(wait=True, cancel_futures=True)
        failed = [f.exception() for f in futures if not f.cancelled()]
        for error in failed:
            if error is not None and not isinstance(error, _AbandonedError):
                raise error
        shutil.rmtree(self._partial, ignore_errors=True)

    def _fetch_one(self, jar: LockedJar, abandon: threading.Event, on_bytes: Callable[[int], None]) -> None:
        problem = ""
        for attempt in range(TRIES):
            if abandon.wait(RETRY_SECONDS * attempt):
                raise _AbandonedError
            try:
                if self._try_one(jar, on_bytes):
                    return
                problem = "its content is not what its lock file asks for (SHA-256 differs)"
            except (OSError, RuntimeError) as error:
                _refuse_full_disk(error, self._jars)
                problem = _reason(error)
        raise DevServerError(
            f"could not fetch {jar.coordinate} from {mirror_shown()}: {problem}; check the network, "
            f"or set {MIRROR_VARIABLE} to a Maven repository that can be reached, and try again"
        )

    def _try_one(self, jar: LockedJar, on_bytes: Callable[[int], None]) -> bool:
        """Download into a fresh folder, check, rename into place; False when the content is wrong."""
        folder = Path(tempfile.mkdtemp(dir=self._partial))
        file = maven_download(jar, folder, on_bytes)
        if not is_intact(file, jar):
            return False
        target = self.path(jar)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        return True


def _byte_progress(total: int, abandon: threading.Event, on_progress: OnProgress) -> Callable[[int], None]:
    """Add up the bytes of all threads; breaks a download off once it is of no more use."""
    lock = threading.Lock()
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        if abandon.is_set():
            raise _AbandonedError
        with lock:
            done = min(done + count, total)
            on_progress(Progress("download", done, total, "downloading OpenSearch"))

    return on_bytes


def _reason(error: OSError | RuntimeError) -> str:
    if isinstance(error, RuntimeError):
        return "it is not there"
    return f"{type(error).__name__}: {error}" if error.errno is None else str(error.strerror)


def _refuse_full_disk(error: BaseException, folder: Path) -> None:
    from errno import EDQUOT, ENOSPC

    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        raise DevServerError(
            f"no space left for {folder}; free some, or point WHODID_CACHE_DIR at another disk"
        ) from error


ARCHIVES = "archives"
_DESCRIPTOR = "plugin-descriptor.properties"
_EXTENDED = re.compile(rb"^extended\.plugins=.*$", re.MULTILINE)


def unpack(home: Path, jar: LockedJar) -> None:
    """Unpacks the archive, which lies in its place already."""
    folder = home / jar.folder
    with zipfile.ZipFile(home / ARCHIVES / jar.filename) as archive:
        archive.extractall(folder)
    descriptor = folder / _DESCRIPTOR
    descriptor.write_bytes(_changed(descriptor.read_bytes()))


def is_unpacked(home: Path, jar: LockedJar) -> bool:
    """Whether each file of the archive is there as it should be."""
    with zipfile.ZipFile(home / ARCHIVES / jar.filename) as archive:
        for member in archive.infolist():
            file = home / jar.folder / member.filename
            if member.is_dir():
                continue
            if not file.is_file():
                return False
            content = file.read_bytes()
            if member.filename == _DESCRIPTOR:
                if content != _changed(archive.read(member)):
                    return False
            elif len(content) != member.file_size or zlib.crc32(content) != member.CRC:
                return False
    return True


def _changed(descriptor: bytes) -> bytes:
    return _EXTENDED.sub(b"extended.plugins=", descriptor)


SECURITY = "plugins/opensearch-security"
"""The folder of the Security plugin, which only a secured node has."""


@dataclass(frozen=True)
class Descriptor:
    """What `plugin-descriptor.properties` says of a module or plugin."""

    name: str
    classname: str
    version: str
    extends: tuple[str, ...] = ()

    def properties(self) -> str:
        """The file's text, as `org.opensearch.plugins.PluginInfo` reads it."""
        return "".join(
            f"{key}={value}\n"
            for key, value in {
                "name": self.name,
                "description": f"OpenSearch's {self.name}",
                "version": self.version,
                "opensearch.version": self.version,
                "java.version": "21",
                "classname": self.classname,
                "custom.foldername": "",
                "extended.plugins": ",".join(self.extends),
                "has.native.controller": "false",
            }.items()
        )


@dataclass(frozen=True)
class Component:
    """A folder of the home, the artifacts (`group:artifact:version`) it starts from, its descriptor or its archive.

    `roots` are resolved one by one when the lock is made: resolved together, the versions that one
    artifact manages for itself would be forced on the others.
    """

    folder: str
    roots: tuple[str, ...]
    descriptor: Descriptor | None = None
    archive: str | None = None
    """A zip that is unpacked into the folder, and whose dependencies are within it."""
