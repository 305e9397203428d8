"""The jar cache: verified files, named by their SHA-256.

Format: `jars/SHA256/FILENAME`. Invariant: a file under `jars/` had its SHA-256 when it was put there, by
rename; it is never written in place. Downloads go to `partial/RANDOM/`. A kill at any moment leaves at most a
folder in `partial/`, which the next holder of the lock removes. What the disk breaks later is found when
the home is verified (`whodid.devserver.home`), dropped here and fetched again. One process at a time: the
caller holds `cache_lock`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from whodid.devserver.lockfile import LockedJar
from whodid.devserver.maven import MIRROR_VARIABLE, maven_download, mirror_shown
from whodid.devserver.progress import OnProgress, Progress
from whodid.errors import DevServerError
from whodid.locks import hold_lock

__all__ = ["JarCache", "cache_lock", "is_intact"]

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
