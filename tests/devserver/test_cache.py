"""The jar cache under failing, lying and stalling repositories."""

from __future__ import annotations

import errno
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from whodid.devserver.cache import JarCache, cache_lock, render_lock
from whodid.devserver.folder import Progress, ignore_progress
from whodid.errors import DevServerError

from .conftest import Mirror, Wait

pytestmark = pytest.mark.timeout(60)

FETCH = """
import sys
from pathlib import Path
from whodid.devserver.cache import JarCache, cache_lock
from whodid.devserver.cache import parse_lock
from whodid.devserver.folder import ignore_progress
folder = Path(sys.argv[1])
with cache_lock(folder, ignore_progress):
    JarCache(folder).fetch(parse_lock(sys.argv[2]), ignore_progress)
"""


def kept(cache: Path) -> list[str]:
    """The names of all files that the cache holds as verified."""
    return sorted(file.name for file in (cache / "jars").rglob("*") if file.is_file())


def test_fetched_jars_have_the_content_that_was_served(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add("alpha", b"a" * 100_000), mirror.add("beta", b"b" * 10)]
    JarCache(cache).fetch(jars, ignore_progress)
    assert [JarCache(cache).path(jar).read_bytes() for jar in jars] == [b"a" * 100_000, b"b" * 10]
    assert not (cache / "partial").exists()


def test_jars_that_are_there_are_not_asked_for_again(mirror: Mirror, cache: Path) -> None:
    jar = mirror.add("alpha", b"content")
    JarCache(cache).fetch([jar], ignore_progress)
    JarCache(cache).fetch([jar], ignore_progress)
    assert mirror.times_asked(jar) == 1


def test_progress_ends_at_the_total_of_bytes(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add("alpha", b"a" * 100_000), mirror.add("beta", b"b" * 10)]
    heard: list[Progress] = []
    JarCache(cache).fetch(jars, heard.append)
    assert [(p.done, p.total) for p in heard][-1] == (100_010, 100_010)
    assert [p.done for p in heard] == sorted(p.done for p in heard)


def test_wrong_checksum_is_refused_and_leaves_nothing(mirror: Mirror, cache: Path) -> None:
    jar = replace(mirror.add("alpha", b"tampered"), sha256="0" * 64)
    with pytest.raises(DevServerError, match=r"org\.example:alpha:1\.0:jar .*SHA-256 differs"):
        JarCache(cache).fetch([jar], ignore_progress)
    assert kept(cache) == []


def test_half_a_download_is_refused_and_leaves_nothing(mirror: Mirror, cache: Path) -> None:
    jar = mirror.add("alpha", b"x" * 50_000)
    mirror.cut_short.add(mirror.path(jar))
    with pytest.raises(DevServerError, match=r"could not download org\.example:alpha"):
        JarCache(cache).fetch([jar], ignore_progress)
    assert kept(cache) == []
    mirror.cut_short.clear()
    JarCache(cache).fetch([jar], ignore_progress)
    assert kept(cache) == ["alpha-1.0.jar"]


def test_missing_file_is_named_with_the_way_out(mirror: Mirror, cache: Path) -> None:
    jar = mirror.add("alpha", b"content")
    mirror.files.clear()
    with pytest.raises(DevServerError, match=r"not found; .*WHODID_MAVEN_MIRROR"):
        JarCache(cache).fetch([jar], ignore_progress)


def test_unreachable_repository_is_named_without_its_password(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = mirror.add("alpha", b"content")
    monkeypatch.setenv("WHODID_MAVEN_MIRROR", "http://user:secret@127.0.0.1:1/maven")
    with pytest.raises(DevServerError, match=r"from http://127\.0\.0\.1:1/maven") as caught:
        JarCache(cache).fetch([jar], ignore_progress)
    assert "secret" not in str(caught.value)


def test_full_disk_is_named(mirror: Mirror, cache: Path) -> None:
    def full(_progress: Progress) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DevServerError, match=r"no space left for .*WHODID_CACHE_DIR"):
        JarCache(cache).fetch([mirror.add("alpha", b"content")], full)


def test_damaged_jar_is_dropped_and_fetched_again(mirror: Mirror, cache: Path) -> None:
    jars = [mirror.add("alpha", b"content"), mirror.add("beta", b"other")]
    store = JarCache(cache)
    store.fetch(jars, ignore_progress)
    store.path(jars[0]).write_bytes(b"c0ntent")
    assert store.drop_damaged(jars) == 1
    store.fetch(jars, ignore_progress)
    assert store.path(jars[0]).read_bytes() == b"content"
    assert [mirror.times_asked(jar) for jar in jars] == [2, 1]


def test_download_killed_half_way_leaves_nothing_that_counts(
    mirror: Mirror, cache: Path, environment: dict[str, str], wait: Wait
) -> None:
    jar = mirror.add("alpha", b"x" * 50_000)
    mirror.stalled.add(mirror.path(jar))
    process = subprocess.Popen([sys.executable, "-c", FETCH, str(cache), render_lock([jar])], env=environment)
    wait(lambda: list((cache / "partial").rglob("alpha-1.0.jar")), 30)
    process.kill()
    process.wait()
    assert kept(cache) == []
    mirror.stalled.clear()
    with cache_lock(cache, ignore_progress):
        JarCache(cache).fetch([jar], ignore_progress)
    assert kept(cache) == ["alpha-1.0.jar"]
    assert not (cache / "partial").exists()


def test_two_processes_at_once_fetch_each_jar_once(mirror: Mirror, cache: Path, environment: dict[str, str]) -> None:
    jars = [mirror.add(name, name.encode() * 1000) for name in ("alpha", "beta", "gamma")]
    command = [sys.executable, "-c", FETCH, str(cache), render_lock(jars)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert [mirror.times_asked(jar) for jar in jars] == [1, 1, 1]
