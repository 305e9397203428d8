"""A directory as a witness: told once, and never made to forget by us."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from whodid.errors import SettingsError, WitnessError
from whodid.proof.witness import DirectoryWitness, Witness, witness_of, witnesses_of
from whodid.settings import Settings

KEY = "8f14e45fceea167a/00000001-3fa94c0d11aa77b2.dsse.json"


@pytest.fixture
def witness(tmp_path: Path) -> DirectoryWitness:
    return DirectoryWitness(tmp_path)


def test_what_is_kept_is_read_back(witness: DirectoryWitness, tmp_path: Path) -> None:
    witness.put(KEY, b"{}")
    witness.put(KEY.replace("0001-", "0002-"), b'{"n":2}')
    assert [data for _, data in witness.each()] == [b"{}", b'{"n":2}']
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o440
    assert sorted(path.name for path in (tmp_path / KEY).parent.iterdir()) == [
        "00000001-3fa94c0d11aa77b2.dsse.json",
        "00000002-3fa94c0d11aa77b2.dsse.json",
    ]


def test_the_same_again_is_fine_and_anything_else_is_told(witness: DirectoryWitness) -> None:
    witness.put(KEY, b"{}")
    witness.put(KEY, b"{}")
    with pytest.raises(WitnessError, match="already has other data"):
        witness.put(KEY, b'{"other":1}')
    assert dict(witness.each()) == {KEY: b"{}"}


def test_a_link_in_its_place_is_no_evidence(witness: DirectoryWitness, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"{}")
    (tmp_path / KEY).parent.mkdir()
    (tmp_path / KEY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WitnessError, match="is not a regular file"):
        witness.put(KEY, b"{}")
    assert list(witness.each()) == []


def test_a_mount_that_is_away_is_not_made(tmp_path: Path) -> None:
    away = DirectoryWitness(tmp_path / "mnt")
    for use in (lambda: away.put(KEY, b"{}"), lambda: list(away.each())):
        with pytest.raises(WitnessError, match="is not a directory: mount"):
            use()
    assert not (tmp_path / "mnt").exists()


def test_a_full_one_says_so_and_keeps_nothing_by_halves(
    witness: DirectoryWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("whodid.files.write_all", full)
    with pytest.raises(WitnessError, match=r"can't store .*: No space left on device"):
        witness.put(KEY, b"{}")
    assert list(witness.each()) == []
    monkeypatch.undo()
    witness.put(KEY, b"{}")
    assert dict(witness.each()) == {KEY: b"{}"}


def test_a_file_system_without_links_will_do(witness: DirectoryWitness, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    witness.put(KEY, b"{}")
    assert dict(witness.each()) == {KEY: b"{}"}


@pytest.mark.parametrize("call", ["link", "unlink", "fsync"])
def test_a_kill_at_any_point_leaves_it_whole_or_not_there(witness: DirectoryWitness, tmp_path: Path, call: str) -> None:
    program = f"""
import os, pathlib, signal
from whodid.proof.witness import DirectoryWitness
def killed(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)
setattr({"pathlib.Path" if call == "unlink" else "os"}, {call!r}, killed)
open({str(tmp_path / "left")!r}, "w").close()
DirectoryWitness({str(tmp_path)!r}).put({KEY!r}, b"{{}}")
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [data for _, data in witness.each()] in ([], [b"{}"])
    witness.put(KEY, b"{}")
    assert dict(witness.each()) == {KEY: b"{}"}


class Kept:
    """A witness of one's own."""

    name = "mine"

    def __init__(self, settings: Settings) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.kept[key] = data

    def each(self) -> object:
        return iter(self.kept.items())


def test_the_setting_names_them(tmp_path: Path) -> None:
    settings = Settings(witnesses=(str(tmp_path), f"{__name__}:Kept"))
    first, second = witnesses_of(settings)
    assert (first.name, second.name) == (str(tmp_path), "mine")
    assert isinstance(second, Witness)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("relative/path", "is not an absolute path"),
        ("https://x.example", "is not an absolute path"),
        ("no.such.module:make", "can't be imported"),
        ("builtins:repr", "returns no witness"),
        ("s3://", "write a bucket as s3://bucket/prefix"),
        ("s3://key:secret@bucket/x", "without credentials"),
        ("s3://bucket?years=soon", "years must be a number above 0"),
        ("s3://bucket?years=1e9", "years must be a number above 0 and at most 1,000, not '1e9'"),
        ("s3://bucket?years=nan", "years must be a number above 0"),
        ("s3://bucket?endpoint=http://minio.example", "would send the audit log unencrypted"),
    ],
)
def test_a_wrong_one_is_told(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as raised:
        witness_of(text, Settings())
    assert "secret" not in str(raised.value).replace("credentials", "")
