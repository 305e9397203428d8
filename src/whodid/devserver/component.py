"""Component: one folder of the OpenSearch home, with the Maven artifacts it is made from.

The lock file of a release gives the exact files. A component with a descriptor gets the `plugin-descriptor.properties`
that OpenSearch asks of modules and plugins; one with an archive (a plugin's zip) brings its own.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SECURITY", "Component", "Descriptor"]

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
