"""Component: one folder of the OpenSearch home, with the Maven artifacts it is made from.

Everything that is added to the home (a module, a plugin) is one more entry in `COMPONENTS`; the lock file gives the
exact files. A component with a descriptor gets the `plugin-descriptor.properties` that OpenSearch asks of modules and
plugins; one with an archive (a plugin's zip) brings its own.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPONENTS", "OPENSEARCH_VERSION", "SECURITY", "Component", "Descriptor"]

OPENSEARCH_VERSION = "3.4.0"

SECURITY = "plugins/opensearch-security"
"""The folder of the Security plugin, which only a secured node has."""


@dataclass(frozen=True)
class Descriptor:
    """What `plugin-descriptor.properties` says of a module or plugin."""

    name: str
    classname: str
    extends: tuple[str, ...] = ()

    def properties(self) -> str:
        """The file's text, as `org.opensearch.plugins.PluginInfo` reads it."""
        return "".join(
            f"{key}={value}\n"
            for key, value in {
                "name": self.name,
                "description": f"OpenSearch's {self.name}",
                "version": OPENSEARCH_VERSION,
                "opensearch.version": OPENSEARCH_VERSION,
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


def _module(artifact: str, name: str, classname: str, extends: tuple[str, ...] = ()) -> Component:
    return Component(
        folder=f"modules/{name}",
        roots=(f"org.opensearch.plugin:{artifact}:{OPENSEARCH_VERSION}",),
        descriptor=Descriptor(name, f"org.opensearch.{classname}", extends),
    )


# A module comes after those it extends: jars of an extended module must not be there twice.
COMPONENTS: tuple[Component, ...] = (
    Component(
        folder="lib",
        roots=(
            f"org.opensearch:opensearch:{OPENSEARCH_VERSION}",
            f"org.opensearch:opensearch-plugin-classloader:{OPENSEARCH_VERSION}",
            f"org.opensearch:opensearch-agent-bootstrap:{OPENSEARCH_VERSION}",
            "org.apache.logging.log4j:log4j-core:2.21.0",
            "org.locationtech.jts:jts-core:1.15.0",
            "org.locationtech.spatial4j:spatial4j:0.7",
        ),
    ),
    _module("transport-netty4-client", "transport-netty4", "transport.Netty4ModulePlugin"),
    _module("lang-painless", "lang-painless", "painless.PainlessModulePlugin"),
    _module("reindex-client", "reindex", "index.reindex.ReindexModulePlugin"),
    _module("ingest-common", "ingest-common", "ingest.common.IngestCommonModulePlugin", ("lang-painless",)),
    _module("mapper-extras-client", "mapper-extras", "index.mapper.MapperExtrasModulePlugin"),
    _module("parent-join-client", "parent-join", "join.ParentJoinModulePlugin"),
    _module(
        "aggs-matrix-stats-client",
        "aggs-matrix-stats",
        "search.aggregations.matrix.MatrixAggregationModulePlugin",
    ),
    Component(
        folder=SECURITY,
        roots=("org.apache.commons:commons-collections4:4.5.0",),  # which the plugin needs and its zip lacks
        archive=f"org.opensearch.plugin:opensearch-security:{OPENSEARCH_VERSION}.0",
    ),
)
