"""Versions: a journal that an earlier one wrote is read and continued; one of a newer version is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.journal.test_writer import alarms, draft, targets
from whodid.errors import JournalDamaged
from whodid.journal import Acknowledged, Journal, JournalDirectory, JournalReader, Line, prune, read_entries
from whodid.journal.directory import identity
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.dead_letters import read_dead_letters
from whodid.shipping.status import directory_status

FORMATS = sorted(path for path in (Path(__file__).parent / "formats").iterdir() if path.is_dir())


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory as that version left it, with the modes and the inodes that git doesn't keep."""
    path = tmp_path / "journal"
    shutil.copytree(request.param, path)
    for file in path.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    path.chmod(0o700)
    for segment in sorted(path.glob("*/[0-9]*.ndjson"))[:-1]:
        segment.chmod(0o400)
    [marker] = path.glob("*/journal.json")
    content = json.loads(marker.read_bytes())
    with marker.open("r+b") as file_:
        file_.truncate()
        kept = {name: value for name, value in identity(file_.fileno()).items() if name in content}
        file_.write(json.dumps({**content, **kept}).encode())
    return path


def test_a_journal_of_an_earlier_version_is_gone_on_with(path: Path) -> None:
    journal = Journal(path)
    assert journal.append(draft("6")).seq == 6
    assert targets(path) == ["1", "2", "3", "4", "5", "6"]
    assert alarms(path) == []


def test_what_an_earlier_version_acknowledged_is_not_shipped_again_and_can_be_deleted(path: Path) -> None:
    journal = path / str(JournalDirectory(path).current())
    position = Acknowledged.read(journal)
    assert position.seq == 2
    reader = JournalReader(journal, position.seq)
    lines = [*reader.read(), *reader.read()]
    assert [line.seq for line in lines if isinstance(line, Line)] == [3, 4, 5]
    assert isinstance(lines[-1], Line)
    Acknowledged(5, lines[-1].hash).write(journal)
    assert Acknowledged.read(journal).seq == 5
    prune(journal)
    assert [entry["seq"] for entry in read_entries(path)] == [4, 5]
    assert Journal(path).append(draft("6")).seq == 6


def test_status_shows_what_an_earlier_version_counted(path: Path) -> None:
    found = directory_status(str(path))
    assert (found.backlog, found.dead_letters, found.rejected, found.not_recorded) == (3, 1, 1, 1)
    assert [letter.reason for letter in read_dead_letters(JournalDirectory(path)).values()] == ["reason"]


@pytest.mark.parametrize("name", ["current", "*/journal.json"])
@pytest.mark.parametrize("version", [2, "2", None])
def test_a_directory_of_a_newer_version_is_refused_by_writer_reader_status_and_shipper(
    tmp_path: Path, name: str, version: object
) -> None:
    path = tmp_path / "journal"
    Journal(path).append(draft())
    [file] = path.glob(name)
    content = {**json.loads(file.read_bytes()), "format": version}
    file.write_text(json.dumps(content))  # in place: the marker stays the same file
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    with pytest.raises(JournalDamaged, match="upgrade whodid"):
        Journal(path).append(draft())
    if name == "current":
        with pytest.raises(JournalDamaged, match="upgrade whodid"):
            list(read_entries(path))
        with pytest.raises(JournalDamaged, match="upgrade whodid"):
            directory_status(str(path))
        with pytest.raises(JournalDamaged, match="upgrade whodid"):
            Shipper(Settings(journal_dir=str(path)), lambda documents: []).run_once()
    assert {each: each.read_bytes() for each in before} == before
