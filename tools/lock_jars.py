"""Write src/whodid/devserver/jars-VERSION.lock anew from the root artifacts of each release's components.

    python tools/lock_jars.py [--check]

Each root is resolved on its own, then merged, the first version of an artifact winning: resolved together,
log4j-core's managed versions drag jackson down to 2.15, and the node does not start. A module leaves out
what `lib` or a module that it extends already has, since OpenSearch refuses to start with a class in two
jars. `WHODID_MAVEN_MIRROR` is honoured. With `--check` nothing is written; exit code 1 says that the lock
would change.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from whodid.devserver.cache import Component, LockedJar, maven_context, render_lock
from whodid.devserver.home import RELEASES, Release

FOLDER = Path(__file__).parents[1] / "src" / "whodid" / "devserver"
HEADER = """\
# A development OpenSearch, file by file: SHA256 SIZE FOLDER GROUP:ARTIFACT:VERSION:PACKAGING
# Written by tools/lock_jars.py; don't edit.
"""
# Compiled against, never loaded by a node.
NOT_AT_RUNTIME = {"test", "provided", "system"}


class Found(NamedTuple):
    """A resolved artifact and the local file it was downloaded to."""

    version: str
    packaging: str
    file: Path


Resolved = dict[tuple[str, str], Found]


def resolve_root(coordinate: str, cache: Path) -> Resolved:
    """One artifact and its runtime dependencies, resolved by themselves."""
    context = maven_context(cache)
    root = context.create_dependency(coordinate)
    inputs, transitive = context.resolver.resolve([root])
    found: Resolved = {}
    for dependency in [*inputs, *transitive]:
        if dependency.scope in NOT_AT_RUNTIME or dependency.optional or dependency.classifier:
            continue
        artifact = dependency.artifact
        key = (str(artifact.groupId), str(artifact.artifactId))
        found[key] = Found(str(artifact.version), str(artifact.packaging), Path(artifact.resolve()))
    return found


def resolve_component(component: Component, cache: Path) -> Resolved:
    """All roots of a component; the first version found of an artifact wins."""
    merged: Resolved = {}
    for root in component.roots:
        for key, found in resolve_root(root, cache).items():
            merged.setdefault(key, found)
    return merged


def download_archive(coordinate: str, cache: Path) -> Resolved:
    """A plugin's zip, which holds its dependencies."""
    group, artifact, version = coordinate.split(":")
    file = Path(maven_context(cache).project(group, artifact).at_version(version).artifact(packaging="zip").resolve())
    return {(group, artifact): Found(version, "zip", file)}


def lock_component(component: Component, resolved: Resolved) -> list[LockedJar]:
    """Turn what was resolved into lines of the lock."""
    jars = []
    for (group, artifact), found in resolved.items():
        content = found.file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        jars.append(LockedJar(component.folder, group, artifact, found.version, found.packaging, len(content), digest))
    return jars


def lock_all(release: Release, cache: Path) -> list[LockedJar]:
    """Every component in order, each without what it shares with `lib` and the modules that it extends."""
    jars: list[LockedJar] = []
    present: dict[str, set[tuple[str, str]]] = {}
    for component in release.components:
        sys.stderr.write(f"resolving {component.folder} of {release.version}\n")
        extended = component.descriptor.extends if component.descriptor else ()
        visible = present.get("lib", set()).union(*(present[f"modules/{name}"] for name in extended))
        resolved = resolve_component(component, cache)
        if component.archive:
            resolved |= download_archive(component.archive, cache)
        own = {key: found for key, found in resolved.items() if key not in visible}
        present[component.folder] = set(own)
        jars += lock_component(component, own)
    return jars


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the lock would change")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="whodid-lock-") as cache:
        locks = {FOLDER / one.lock: HEADER + render_lock(lock_all(one, Path(cache))) for one in RELEASES}
    if check:
        return 0 if all(file.exists() and file.read_text("utf-8") == text for file, text in locks.items()) else 1
    for file, text in locks.items():
        file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
