"""The OpenSearch home: `lib`, `modules` and `plugins`, assembled from the cache once for each lock file.

Format: `homes/LOCKHASH/FOLDER/FILENAME`, hard links to the cache's jars (copies where the file system has no
links), plus each module's `plugin-descriptor.properties`; a zip lies in `archives/` and unpacked in its folder. It is
made under another name and renamed, so a home that is there is complete; a kill leaves a folder named `.new-…`, which
the next assembly removes. Every start checks each jar's SHA-256 (57 MB, about 0.1 s) and what was unpacked; a damaged
one has the cache and the home made anew. A node only reads its home, so that several may share one.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from whodid.devserver.archive import ARCHIVES, is_unpacked, unpack
from whodid.devserver.cache import JarCache, cache_lock, is_intact
from whodid.devserver.component import Component
from whodid.devserver.lockfile import LockedJar, lock_hash
from whodid.devserver.progress import OnProgress, Progress
from whodid.devserver.release import Release
from whodid.errors import DevServerError

__all__ = ["prepare_home"]

NEW = ".new-"
OLD = ".old-"
ALLOW_ALL = "grant { permission java.security.AllPermission; };\n"


def prepare_home(cache: Path, release: Release, jars: Sequence[LockedJar], on_progress: OnProgress) -> Path:
    """The folder of a complete, verified home of these jars; fetches and assembles whatever is missing or damaged."""
    home = cache / "homes" / lock_hash(jars)
    try:
        if _is_verified(home, jars):
            return home
        with cache_lock(cache, on_progress):
            if not _is_verified(home, jars):
                _make(home, release, JarCache(cache), jars, on_progress)
    except OSError as error:
        raise DevServerError(_unusable(cache, error)) from error
    return home


def _unusable(cache: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {cache}; free some, or point WHODID_CACHE_DIR at another disk"
    return f"can't use the cache {cache} ({error}); point WHODID_CACHE_DIR at a folder that can be written"


def _is_verified(home: Path, jars: Sequence[LockedJar]) -> bool:
    return home.is_dir() and all(
        is_intact(home / _folder(jar) / jar.filename, jar) and (not jar.is_archive or is_unpacked(home, jar))
        for jar in jars
    )


def _folder(jar: LockedJar) -> str:
    return ARCHIVES if jar.is_archive else jar.folder


def _make(home: Path, release: Release, cache: JarCache, jars: Sequence[LockedJar], on_progress: OnProgress) -> None:
    cache.drop_damaged(jars)
    cache.fetch(jars, on_progress)
    _sweep(home.parent)
    new = Path(tempfile.mkdtemp(prefix=NEW, dir=home.parent))
    for done, jar in enumerate(jars, start=1):
        _place(cache.path(jar), new / _folder(jar) / jar.filename)
        if jar.is_archive:
            unpack(new, jar)
        on_progress(Progress("assemble", done, len(jars), "assembling OpenSearch"))
    for component in release.components:
        _describe(component, new, release.sandboxed)
    (new / "plugins").mkdir(exist_ok=True)
    _swap(new, home)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.copyfile(source, target)


def _describe(component: Component, home: Path, sandboxed: bool) -> None:
    if component.descriptor is not None:
        folder = home / component.folder
        (folder / "plugin-descriptor.properties").write_text(component.descriptor.properties(), "utf-8")
        if sandboxed:
            (folder / "plugin-security.policy").write_text(ALLOW_ALL, "utf-8")


def _swap(new: Path, home: Path) -> None:
    """Put the new home in the place of a damaged one; a node running from that keeps its open jars."""
    if home.exists():
        home.rename(Path(tempfile.mkdtemp(prefix=OLD, dir=home.parent)) / home.name)
    new.rename(home)
    _sweep(home.parent)


def _sweep(homes: Path) -> None:
    """Remove what a killed assembly or a swap has left; the caller holds the cache's lock."""
    homes.mkdir(parents=True, exist_ok=True)
    for entry in homes.iterdir():
        if entry.name.startswith((NEW, OLD)):
            shutil.rmtree(entry, ignore_errors=True)
