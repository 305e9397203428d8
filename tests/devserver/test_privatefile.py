"""A private file: for its owner alone, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver.privatefile import write_private


def test_it_is_for_its_owner_alone_whatever_lay_there(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for leftover in (file, tmp_path / "secret.new"):
        leftover.write_text("left by a killed start")
        leftover.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    write_private(file, b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_private(file, b"new")
    assert file.read_bytes() == b"old"
