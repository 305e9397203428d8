"""A plugin's zip in the home: unpacked, its descriptor changed in one line, and made anew when damaged."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from whodid.devserver.cache import SECURITY
from whodid.devserver.folder import ignore_progress
from whodid.devserver.home import RELEASES, prepare_home

from .conftest import Mirror

RELEASE = RELEASES[0]
DESCRIPTOR = b"name=security\nextended.plugins=job-scheduler;optional=true\nversion=1\n"


def plugin() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("plugin-descriptor.properties", DESCRIPTOR)
        archive.writestr("config/roles.yml", "_meta: {}\n")
        archive.writestr("plugin.jar", b"jar")
    return content.getvalue()


def test_it_is_unpacked_and_mended_when_damaged(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", b"m", c.folder) for n, c in enumerate(RELEASE.components)]
    jars.append(mirror.add("security", plugin(), SECURITY, packaging="zip"))
    home = prepare_home(cache, RELEASE, jars, ignore_progress)
    folder = home / SECURITY
    assert (folder / "plugin-descriptor.properties").read_bytes() == b"name=security\nextended.plugins=\nversion=1\n"
    assert (folder / "config" / "roles.yml").read_text() == "_meta: {}\n"
    for file in ("plugin.jar", "plugin-descriptor.properties", "config/roles.yml"):
        (folder / file).write_bytes(b"broken")
        assert prepare_home(cache, RELEASE, jars, ignore_progress) == home
        assert (folder / "plugin.jar").read_bytes() == b"jar"
        (folder / file).unlink()
        prepare_home(cache, RELEASE, jars, ignore_progress)
        assert (folder / file).exists()
