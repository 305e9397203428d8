"""The lock file and what it promises of the home."""

from __future__ import annotations

import pytest

from whodid.devserver.cache import lock_hash, parse_lock, read_lock, render_lock
from whodid.devserver.home import RELEASES, Release
from whodid.errors import DevServerError

LOCKS = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)


@LOCKS
def test_rendered_lock_is_read_back_unchanged(release: Release) -> None:
    jars = read_lock(release.lock)
    assert parse_lock(render_lock(jars)) == tuple(sorted(jars))


@LOCKS
def test_each_component_has_its_roots_in_the_lock(release: Release) -> None:
    locked = {(jar.folder, f"{jar.group}:{jar.artifact}:{jar.version}") for jar in read_lock(release.lock)}
    wanted = {(component.folder, root) for component in release.components for root in component.roots}
    assert wanted <= locked
    assert {folder for folder, _ in locked} == {component.folder for component in release.components}


@LOCKS
def test_no_jar_is_both_in_lib_and_in_a_module(release: Release) -> None:
    lib = {(jar.group, jar.artifact) for jar in read_lock(release.lock) if jar.folder == "lib"}
    modules = {(jar.group, jar.artifact) for jar in read_lock(release.lock) if jar.folder != "lib"}
    assert lib & modules == set()


@LOCKS
def test_no_file_name_comes_twice_in_a_folder(release: Release) -> None:
    names = [(jar.folder, jar.filename) for jar in read_lock(release.lock)]
    assert len(names) == len(set(names))


def test_hash_of_the_lock_changes_with_any_field() -> None:
    first, *rest = read_lock(RELEASES[0].lock)
    text = render_lock([first])
    other = parse_lock(text.replace(" lib ", " modules/x ").replace(first.folder, "modules/x"))
    assert lock_hash([first, *rest]) != lock_hash([*other, *rest])


@pytest.mark.parametrize("line", ["abc", "zz 1 lib g:a:1:jar", f"{'0' * 64} x lib g:a:1:jar", f"{'0' * 64} 1 lib g:a"])
def test_malformed_line_is_named(line: str) -> None:
    with pytest.raises(DevServerError, match="the lock file, line 2:"):
        parse_lock(f"# comment\n{line}\n")
