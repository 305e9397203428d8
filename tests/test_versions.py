"""`make test-versions`: which interpreters it finds, and that it says which it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import versions

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a stand-in for an interpreter that answers so."""

    def make(path: str, answer: object, code: int = 0) -> Path:
        python = tmp_path / path
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\nexit {code}\n")
        python.chmod(0o755)
        return python

    return make


def test_each_version_is_found_once_on_path_or_in_pyenv_the_newest_of_several(tmp_path: Path, make: Make) -> None:
    make("a/python3.11", [True, [3, 11, 7]])
    make("a/python3.12", [True, [3, 12, 1]])
    newer = make("pyenv/versions/3.12.9/bin/python3", [True, [3, 12, 9]])
    other = make("b/python3.13", [True, [3, 13, 0]])
    make("a/python3.13", [True, [3, 13, 9]], code=127)  # pyenv's stand-in for a version that is not chosen
    make("a/python3.14", [False, [3, 14, 0]])  # another implementation, a release candidate
    make("a/python3.13-config", [True, [3, 13, 5]])
    assert versions.usable(f"{tmp_path / 'a'}::{tmp_path / 'b'}", tmp_path / "pyenv") == {12: newer, 13: other}


def test_what_is_promised_is_what_the_package_says() -> None:
    assert versions.promised() == [12, 13, 14]


def test_what_was_not_found_is_said(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(make("a/python3.13", [True, [3, 13, 0]]).parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(versions, "prepare", lambda _minor, python: python)
    for passed in (True, False):
        monkeypatch.setattr(versions, "passes", lambda _python, passed=passed: passed)
        assert versions.main() == (not passed)
        said = capsys.readouterr().out
        assert ["NOT TESTED: Python 3.12" in said, "Python 3.13 (" in said, "NOT TESTED: Python 3.14" in said] == [
            True, False, True,
        ]  # fmt: skip
        assert f"failed: {'none' if passed else '3.13'}" in said


def test_what_is_left_out_is_there() -> None:
    assert [path for path in versions.LEFT_OUT if not (versions.ROOT / path).exists()] == []
