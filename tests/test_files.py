"""Small files: whole after a kill at any step and a power loss at any moment, 0600, and nobody else's."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import get_native_id

import pytest

from tests.faults.disk import Call, Fault, Killed, System, disk, failing
from tests.faults.power import Recording
from whodid.errors import JournalDamaged
from whodid.files import (
    best_effort,
    files_below,
    is_there,
    name_new,
    names_in,
    write_file,
    write_new,
    write_parts,
    write_private,
)

Write = Callable[[Path, bytes], None]

REPLACING: dict[str, Write] = {
    "write_file": write_file,
    "write_private": write_private,
    "write_parts": lambda path, content: write_parts(path, [content[:3], content[3:]], like=path.stat()),
}
WAYS = {**REPLACING, "write_new": write_new}
OLD, NEW = b"the old content", b"the new one, which is longer"

linux = pytest.mark.skipif(sys.platform != "linux", reason="calls are seen by way of /proc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a small file is, or will be."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "small"


def prepared(way: str, path: Path) -> set[bytes | None]:
    """What may be there, whatever happens: the old or the new, where `None` is no file."""
    if way == "write_new":
        path.unlink(missing_ok=True)
        return {None, NEW}
    path.write_bytes(OLD)
    path.chmod(0o600)
    return {OLD, NEW}


def found(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@linux
@pytest.mark.parametrize("way", WAYS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new(way: str, path: Path) -> None:
    seen = set()
    for step in range(100):
        allowed, left = prepared(way, path), step

        def through(call: Call, system: System) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return system(*call.arguments)

        with disk(path.parent, through), suppress(Killed):
            WAYS[way](path, NEW)
        seen.add(found(path))
        assert seen <= allowed
        if left:
            break
    assert seen == allowed
    assert [each.name for each in path.parent.iterdir()] == ["small"]


@linux
@pytest.mark.parametrize("way", WAYS)
def test_a_power_loss_at_any_moment_leaves_the_old_or_the_new_and_after_the_end_the_new(
    way: str, path: Path, tmp_path: Path
) -> None:
    allowed = prepared(way, path)
    recording = Recording(tmp_path / "folder")
    began = recording.length
    with disk(tmp_path / "folder", recording):
        WAYS[way](path, NEW)
    for steps in range(began, recording.length + 1):
        for seed in range(40):
            kept = tmp_path / f"{steps}-{seed}"
            recording.after(steps, Random(seed), kept)
            assert found(kept / "small") in (allowed if steps < recording.length else {NEW})


@linux
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_step_leaves_the_old_or_the_new_and_nothing_else(way: str, number: int, path: Path) -> None:
    fault, steps = Fault("error", number), 1
    for step in range(1, 100):
        allowed = prepared(way, path)
        with failing(path.parent, fault, step) as count, suppress(OSError):
            WAYS[way](path, NEW)
        steps = count()
        assert found(path) in allowed
        if step > steps:
            break
        for left in path.parent.glob("*.new"):  # where the error was that of removing it
            left.unlink()
    assert found(path) == NEW


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_for_its_owner_alone_whatever_lay_there(way: str, path: Path) -> None:
    prepared(way, path)
    left = path.with_name(f"small.{get_native_id()}.new")
    left.write_text("left by a killed thread of the same number")
    left.chmod(0o644)
    WAYS[way](path, NEW)
    about = path.stat()
    assert (path.read_bytes(), stat.S_IMODE(about.st_mode), about.st_uid) == (NEW, 0o600, os.geteuid())
    assert [each.name for each in path.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("way", ["write_file", "write_private"])
def test_only_a_file_of_a_journal_is_handed_to_the_owner_of_its_directory(way: str, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(path.parent, 12345, 12345)
    WAYS[way](path, NEW)
    assert path.stat().st_uid == (12345 if way == "write_file" else 0)


def test_a_link_in_the_place_of_the_new_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.with_name(f"small.{get_native_id()}.new").symlink_to(tmp_path / "elsewhere")
    write_private(path, NEW)
    assert path.read_bytes() == NEW
    assert not (tmp_path / "elsewhere").exists()


def test_what_takes_the_place_of_a_closed_file_is_as_closed_and_as_old(path: Path) -> None:
    path.write_bytes(OLD)
    path.chmod(0o400)
    os.utime(path, ns=(1, 2))
    write_parts(path, [NEW], like=path.stat())
    about = path.stat()
    assert (path.read_bytes(), stat.S_IMODE(about.st_mode), about.st_mtime_ns) == (NEW, 0o400, 2)


@pytest.mark.parametrize("there", ["a file", "a link to nowhere"])
@pytest.mark.parametrize("links", [True, False])
def test_what_is_new_replaces_nothing(there: str, links: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if there == "a file":
        path.write_bytes(OLD)
    else:
        path.symlink_to("nowhere")
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    with pytest.raises(FileExistsError) as caught:
        write_new(path, NEW)
    assert caught.value.filename == str(path)
    assert found(path) == (OLD if there == "a file" else None)
    assert [each.name for each in path.parent.iterdir()] == ["small"]


def test_a_file_system_without_links_gets_the_new_file_by_a_rename(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links)
    new = path.with_name("another")
    new.write_bytes(NEW)
    name_new(new, path)
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("small", NEW)]


def without_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("look", [names_in, is_there, lambda path: files_below(path, ".json")])
def test_what_can_not_be_looked_at_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("listdir", "scandir", "stat"):
        monkeypatch.setattr(os, name, refused)
    with pytest.raises(PermissionError):
        look(tmp_path)


def test_what_is_ignored_of_one_kind_is_not_a_file_that_is_not_trusted() -> None:
    with best_effort(), best_effort(FileNotFoundError):
        raise FileNotFoundError(2, "No such file or directory")
    with best_effort():
        raise JournalDamaged("not trusted")
    for other in (JournalDamaged("not trusted"), PermissionError(13, "Permission denied")):
        with pytest.raises(type(other)), best_effort(FileNotFoundError):
            raise other
