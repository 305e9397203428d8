"""The assembled home: complete or not there, and repaired when a jar is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver.folder import Progress, ignore_progress
from whodid.devserver.home import RELEASES, prepare_home
from whodid.errors import DevServerError

from .conftest import Mirror

pytestmark = pytest.mark.timeout(60)

MODULE = "modules/transport-netty4"
RELEASE, OLDER = RELEASES


def test_home_holds_each_jar_and_each_descriptor(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add("alpha", b"a"), mirror.add("beta", b"b", MODULE)]
    jars += [mirror.add(f"m{n}", b"m", c.folder) for n, c in enumerate(RELEASE.components)]
    home = prepare_home(cache, RELEASE, jars, ignore_progress)
    assert (home / "lib" / "alpha-1.0.jar").read_bytes() == b"a"
    assert (home / MODULE / "beta-1.0.jar").read_bytes() == b"b"
    described = {file.parent.name for file in home.rglob("plugin-descriptor.properties")}
    assert described == {c.descriptor.name for c in RELEASE.components if c.descriptor}
    assert (home / "plugins").is_dir()


def test_second_use_asks_the_repository_for_nothing(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", bytes([n]), c.folder) for n, c in enumerate(RELEASE.components)]
    first = prepare_home(cache, RELEASE, jars, ignore_progress)
    mirror.asked.clear()
    heard: list[Progress] = []
    assert prepare_home(cache, RELEASE, jars, heard.append) == first
    assert (mirror.asked, heard) == ([], [])


def test_damaged_jar_is_found_and_fetched_again(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", bytes([n]), c.folder) for n, c in enumerate(RELEASE.components)]
    home = prepare_home(cache, RELEASE, jars, ignore_progress)
    (home / "lib" / "m0-1.0.jar").write_bytes(b"broken")
    assert prepare_home(cache, RELEASE, jars, ignore_progress) == home
    assert (home / "lib" / "m0-1.0.jar").read_bytes() == b"\0"
    assert [mirror.times_asked(jar) for jar in jars] == [2] + [1] * (len(jars) - 1)
    assert [entry.name for entry in home.parent.iterdir()] == [home.name]


def test_jar_removed_from_the_home_is_put_back(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", bytes([n]), c.folder) for n, c in enumerate(RELEASE.components)]
    home = prepare_home(cache, RELEASE, jars, ignore_progress)
    (home / "lib" / "m0-1.0.jar").unlink()
    prepare_home(cache, RELEASE, jars, ignore_progress)
    assert (home / "lib" / "m0-1.0.jar").read_bytes() == b"\0"


def test_what_a_killed_assembly_left_is_swept(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", bytes([n]), c.folder) for n, c in enumerate(RELEASE.components)]
    left = cache / "homes" / ".new-abc" / "lib"
    left.mkdir(parents=True)
    home = prepare_home(cache, RELEASE, jars, ignore_progress)
    assert [entry.name for entry in home.parent.iterdir()] == [home.name]


def test_cache_that_cannot_be_written_is_named(mirror: Mirror, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DevServerError, match=r"can't use the cache .*WHODID_CACHE_DIR"):
        prepare_home(blocked / "cache", RELEASE, [mirror.add("alpha", b"a")], ignore_progress)


def test_modules_of_a_sandboxed_release_may_do_all(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add(f"m{n}", bytes([n]), c.folder) for n, c in enumerate(OLDER.components)]
    home = prepare_home(cache, OLDER, jars, ignore_progress)
    assert "AllPermission" in (home / MODULE / "plugin-security.policy").read_text()
    assert "version=2.19.4\n" in (home / MODULE / "plugin-descriptor.properties").read_text()
