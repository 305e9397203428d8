"""Release: a version of OpenSearch that can be started, and in what it differs from the others.

Everything that is added to the home (a module, a plugin) is one more component here; `tools/lock_jars.py` then writes
the release's lock file, `jars-VERSION.lock`.
"""

from __future__ import annotations

from dataclasses import dataclass

from whodid.devserver.component import SECURITY, Component, Descriptor
from whodid.errors import DevServerError

__all__ = ["OPENSEARCH_VERSION", "RELEASES", "Release", "find_release"]

OPENSEARCH_VERSION = "3.4.0"
"""The one that is started unless another is asked for."""


@dataclass(frozen=True)
class Release:
    """One version of OpenSearch."""

    version: str
    components: tuple[Component, ...]
    needs_java: str | None = None
    """The versions of Java that it runs on, where that of the extra is not among them."""
    java_options: tuple[str, ...] = ()
    sandboxed: bool = False
    """Whether Java's security manager watches the modules, each of which then brings a policy of what it may do."""

    @property
    def lock(self) -> str:
        return f"jars-{self.version}.lock"


def find_release(version: str) -> Release:
    """The release of that version, or the newest that begins with it (`2`, `2.19`); raises DevServerError."""
    for release in RELEASES:
        if f"{release.version}.".startswith(f"{version}."):
            return release
    known = ", ".join(release.version for release in RELEASES)
    raise DevServerError(f"there is no development OpenSearch {version}; there are {known}")


def _components(
    version: str, modules: tuple[tuple[str, str, str], ...], lib: tuple[str, ...], security: tuple[str, ...] = ()
) -> tuple[Component, ...]:
    """`lib`, the modules by artifact, name and class, and the Security plugin with what its zip lacks.

    A module comes after those it extends: jars of an extended module must not be there twice.
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
    """Their classes were renamed in OpenSearch 3."""
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
