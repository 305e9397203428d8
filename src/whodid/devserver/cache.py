"""The cache of verified Maven files, and the lock files that list them.

Format of the cache: `jars/SHA256/FILENAME`. A file under `jars/` had its SHA-256 when it was renamed to that place; it
is never written in place. Downloads go to `partial/RANDOM/`. After a kill at most a folder in `partial/` remains, which
the next holder of the lock removes. Files that are damaged later are found when the home is verified
(`whodid.devserver.home`), removed, and downloaded again. The caller holds `cache_lock`.

Format of `jars-VERSION.lock`: UTF-8 lines, sorted by folder and name; lines that start with `#` are comments. Each
other line has four fields separated by single spaces:

    SHA256 SIZE FOLDER GROUP:ARTIFACT:VERSION:PACKAGING

The SHA-256 has 64 lower-case hex digits, the size is in bytes, and the folder is relative to the home. A file name is
unique in its folder. `tools/lock_jars.py` writes the file; dependencies are not resolved when it is read.

Files are downloaded with jgo into a new folder, because jgo treats every file in its cache as complete; `~/.m2` is not
used. `WHODID_MAVEN_MIRROR` replaces Maven Central by another repository.

The zip of a plugin is kept in the home and unpacked next to it. Its `extended.plugins` is emptied, because the Security
plugin names a plugin there that Maven does not have and that it does not need.
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
    """One file of the home: its folder, Maven coordinates, size and hash."""

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
        """Whether the file is a zip to unpack."""
        return self.packaging == "zip"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}:{self.packaging}"


def parse_lock(text: str, name: str = "the lock file") -> tuple[LockedJar, ...]:
    """Parse a lock file. Raises DevServerError that names the line."""
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
        raise DevServerError(f"{name}, line {number}: {error}; reinstall whodid, or run tools/lock_jars.py") from error


def render_lock(jars: Iterable[LockedJar]) -> str:
    """Return the text of a lock file, without comments."""
    return "".join(f"{jar.sha256} {jar.size} {jar.folder} {jar.coordinate}\n" for jar in sorted(jars))


def read_lock(name: str) -> tuple[LockedJar, ...]:
    """Read a lock file of this package."""
    return parse_lock(resources.files("whodid.devserver").joinpath(name).read_text("utf-8"), name)


def lock_hash(jars: Iterable[LockedJar]) -> str:
    """Return a hash that identifies a set of jars."""
    return hashlib.sha256(render_lock(jars).encode()).hexdigest()[:16]


MIRROR_VARIABLE = "WHODID_MAVEN_MIRROR"
READ_TIMEOUT_SECONDS = 30


def maven_context(cache: Path, on_bytes: Callable[[int], None] | None = None) -> MavenContext:
    """Return a jgo context that stores its files in `cache` and uses the mirror."""
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
    """Download one file below `folder` without verifying it; `on_bytes` may raise to cancel.

    Raises OSError (as all errors of requests are) or RuntimeError (not in the repository).
    """
    context = maven_context(folder, on_bytes)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact(packaging=jar.packaging).resolve())


def mirror_shown() -> str:
    """Return the name of the repository for messages, without a password in its URL."""
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
    """Hold the lock of the cache; another process waits until the downloads are done."""
    folder.mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        on_progress(Progress("download", 0, 0, "waiting for another whodid process that is filling the cache"))

    with hold_lock(folder / "lock", LOCK_SECONDS, waiting) as held:
        if held is None:
            raise DevServerError(
                f"another process has held {folder / 'lock'} for more than {LOCK_SECONDS:.0f} s; "
                "stop it, or set WHODID_CACHE_DIR to another folder"
            )
        yield


def is_intact(file: Path, jar: LockedJar) -> bool:
    """Return whether the file exists and has the size and SHA-256 of the lock file."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return stream.tell() == jar.size and digest == jar.sha256
    except FileNotFoundError:
        return False


class _AbandonedError(Exception):
    """Raised when another download failed, or the user cancelled."""


class JarCache:
    """The verified jars below one cache folder."""

    def __init__(self, folder: Path) -> None:
        self._jars = folder / "jars"
        self._partial = folder / "partial"

    def path(self, jar: LockedJar) -> Path:
        """Return the path of a jar in the cache."""
        return self._jars / jar.sha256 / jar.filename

    def drop_damaged(self, jars: Iterable[LockedJar]) -> int:
        """Remove damaged jars and return their number."""
        damaged = [jar for jar in jars if self.path(jar).exists() and not is_intact(self.path(jar), jar)]
        for jar in damaged:
            self.path(jar).unlink()
        return len(damaged)

    def fetch(self, jars: Sequence[LockedJar], on_progress: OnProgress) -> None:
        """Download missing jars. Raises DevServerError for the first one that fails."""
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
                problem = "its SHA-256 differs from the lock file"
            except (OSError, RuntimeError) as error:
                _refuse_full_disk(error, self._jars)
                problem = _reason(error)
        raise DevServerError(
            f"could not download {jar.coordinate} from {mirror_shown()}: {problem}; check the network, "
            f"or set {MIRROR_VARIABLE} to another Maven repository, and try again"
        )

    def _try_one(self, jar: LockedJar, on_bytes: Callable[[int], None]) -> bool:
        """Download into a new folder, verify and rename; return False if the content is wrong."""
        folder = Path(tempfile.mkdtemp(dir=self._partial))
        file = maven_download(jar, folder, on_bytes)
        if not is_intact(file, jar):
            return False
        target = self.path(jar)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        return True


def _byte_progress(total: int, abandon: threading.Event, on_progress: OnProgress) -> Callable[[int], None]:
    """Return a function that adds up the bytes of all threads, and raises once the downloads are abandoned."""
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
        return "not found"
    return f"{type(error).__name__}: {error}" if error.errno is None else str(error.strerror)


def _refuse_full_disk(error: BaseException, folder: Path) -> None:
    from errno import EDQUOT, ENOSPC

    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        raise DevServerError(
            f"no space left for {folder}; free some, or set WHODID_CACHE_DIR to a folder on another disk"
        ) from error


ARCHIVES = "archives"
_DESCRIPTOR = "plugin-descriptor.properties"
_EXTENDED = re.compile(rb"^extended\.plugins=.*$", re.MULTILINE)


def unpack(home: Path, jar: LockedJar) -> None:
    """Unpack an archive of the home into its folder."""
    folder = home / jar.folder
    with zipfile.ZipFile(home / ARCHIVES / jar.filename) as archive:
        archive.extractall(folder)
    descriptor = folder / _DESCRIPTOR
    descriptor.write_bytes(_changed(descriptor.read_bytes()))


def is_unpacked(home: Path, jar: LockedJar) -> bool:
    """Return whether each file of the archive is unpacked and intact."""
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
"""The folder of the Security plugin, which is only used with `security`."""


@dataclass(frozen=True)
class Descriptor:
    """The content of `plugin-descriptor.properties` of a module or plugin."""

    name: str
    classname: str
    version: str
    extends: tuple[str, ...] = ()

    def properties(self) -> str:
        """Return the text of the file in the format of `org.opensearch.plugins.PluginInfo`."""
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
    """A folder of the home, its root artifacts (`group:artifact:version`), and its descriptor or archive.

    `tools/lock_jars.py` resolves each of the `roots` separately, because the dependency management of one artifact
    would otherwise apply to the others.
    """

    folder: str
    roots: tuple[str, ...]
    descriptor: Descriptor | None = None
    archive: str | None = None
    """A zip that is unpacked into the folder and contains its dependencies."""
