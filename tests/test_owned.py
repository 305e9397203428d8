"""Files that whodid wrote itself and reads back: one that another user could have written is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.test_writer import draft
from whodid.devserver.folder import read_record
from whodid.errors import DevServerError, JournalDamaged, SettingsError, WhodidError
from whodid.export.file import Export
from whodid.export.forms import form_of
from whodid.files import open_owned, read_bytes
from whodid.journal import Journal, JournalDirectory, read_entries
from whodid.search import Filter
from whodid.verify import ResumeState

SOMEBODY = 12345


@pytest.fixture
def belongs_to_another(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file one of another user: by its owner where this is root, else by who this seems to be."""

    def change(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, SOMEBODY, -1)
        monkeypatch.setattr("os.geteuid", lambda: SOMEBODY + 1)

    return change


def linked(path: Path) -> None:
    path.with_name("another").hardlink_to(path)


def replaced_by_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "others may write": (lambda path: path.chmod(0o602), "other users may write to it: its mode is 0602"),
    "the group may write": (lambda path: path.chmod(0o620), "other users may write to it: its mode is 0620"),
    "a hard link": (linked, "it has more than one hard link"),
    "a symbolic link": (replaced_by_a_link, "symbolic link"),
    "a pipe": (replaced_by_a_pipe, "it is not a regular file"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_verification_that_others_can_have_written_is_refused(way: str, tmp_path: Path) -> None:
    change, why = WAYS[way]
    path = tmp_path / "verify.part"
    ResumeState(path, "whodid-audit").__exit__(None, None, None)
    change(path)
    with pytest.raises(WhodidError, match=why):
        ResumeState(path, "whodid-audit")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".part", ".part.json"])
def test_a_part_of_an_export_that_others_can_have_written_is_refused(way: str, suffix: str, tmp_path: Path) -> None:
    change, why = WAYS[way]
    for name in (".part", ".part.json"):
        os.close(open_owned(tmp_path / f"all.ndjson{name}", os.O_RDWR | os.O_CREAT))
    change(tmp_path / f"all.ndjson{suffix}")
    one = Export(tmp_path / "all.ndjson", *form_of("all.ndjson", None), Filter.of(), expired=True)
    with pytest.raises(OSError, match=why), one._part():
        one._saved()


@pytest.mark.parametrize("way", WAYS)
def test_a_process_is_not_ended_because_a_file_of_others_says_so(way: str, tmp_path: Path) -> None:
    change, why = WAYS[way]
    path = tmp_path / "node.json"
    os.close(open_owned(path, os.O_RDWR | os.O_CREAT))
    change(path)
    with pytest.raises(DevServerError, match=why):
        read_record(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, belongs_to_another: Callable[[Path], None]) -> None:
    path = tmp_path / "verify.part"
    ResumeState(path, "whodid-audit").__exit__(None, None, None)
    belongs_to_another(path)
    with pytest.raises(WhodidError, match="it belongs to another user"):
        ResumeState(path, "whodid-audit")


def test_nothing_is_recorded_in_a_directory_of_another_user(
    tmp_path: Path, belongs_to_another: Callable[[Path], None]
) -> None:
    path = tmp_path / "journal"
    path.mkdir(mode=0o777)
    belongs_to_another(path)
    with pytest.raises(JournalDamaged, match="belongs to another user"):
        Journal(path).append(draft())
    with pytest.raises(JournalDamaged, match="belongs to another user"):
        JournalDirectory(path)
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("name", ["current", "*/0*.ndjson"])
def test_a_file_of_another_user_in_a_journal_is_neither_read_nor_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is one's own, or of root, as a mount is that all may write to."""
    path = tmp_path / "journal"
    Journal(path).append(draft())
    [file] = path.glob(name)
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(file, SOMEBODY, -1)
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="it belongs to another user, 12345"):
            list(read_entries(path))
        with pytest.raises(JournalDamaged, match="it belongs to another user, 12345"):
            Journal(path).append(draft())
        monkeypatch.setattr("os.geteuid", lambda: SOMEBODY + 1)


def test_root_looks_after_the_journal_of_a_service(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "journal"
    Journal(path).append(draft())
    for each in (path, *path.rglob("*")):
        os.chown(each, SOMEBODY, SOMEBODY)
    Journal(path).append(draft())
    assert len(list(read_entries(path))) == 2


def test_a_secret_that_any_user_may_write_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o602)
    with pytest.raises(SettingsError, match="any user may write to"):
        read_bytes("opensearch_password_file", str(secret))
