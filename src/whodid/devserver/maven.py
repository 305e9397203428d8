"""Maven, by way of jgo: the one module that imports it, so that its untyped objects stop here.

A file is always downloaded into a fresh folder that the caller gives, since jgo takes whatever lies in its
cache as complete; `~/.m2` is neither read nor written. `WHODID_MAVEN_MIRROR` replaces Maven Central by
another repository, such as a company's mirror.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from whodid.devserver.folder import missing_extra
from whodid.devserver.lockfile import LockedJar

if TYPE_CHECKING:
    from jgo.maven import MavenContext

__all__ = ["MIRROR_VARIABLE", "maven_context", "maven_download", "mirror_shown"]

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
