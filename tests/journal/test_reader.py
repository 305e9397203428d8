"""The reader, the acknowledged position and pruning, as the shipper uses them."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.journal.test_writer import draft, segment_of
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Damaged, Journal, JournalReader, Line, prune
from whodid.journal.reader import Read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def seqs(lines: Sequence[Read]) -> list[int]:
    return [line.seq if isinstance(line, Line) else -1 for line in lines]


def read_all(reader: JournalReader, max_bytes: int = 1 << 20) -> list[int]:
    found: list[int] = []
    while lines := reader.read(max_bytes):
        found += seqs(lines)
    return found


def written(path: Path, count: int, segment_bytes: int = 1 << 20) -> tuple[Journal, Path]:
    journal = Journal(path, segment_bytes=segment_bytes)
    for n in range(count):
        position = journal.append(draft(str(n)), "process")
    return journal, path / position.journal


@pytest.mark.parametrize("max_bytes", [1, 500, 1 << 20])
@pytest.mark.parametrize("segment_bytes", [1000, 1 << 20])
@pytest.mark.parametrize("after", [0, 1, 7, 19, 20])
def test_every_entry_after_a_position_is_read_once_in_order(
    path: Path, max_bytes: int, segment_bytes: int, after: int
) -> None:
    _, directory = written(path, 20, segment_bytes)
    assert read_all(JournalReader(directory, after), max_bytes) == list(range(after + 1, 21))


def test_a_reader_goes_on_where_it_stopped_when_more_is_written(path: Path) -> None:
    journal, directory = written(path, 3, 1000)
    reader = JournalReader(directory)
    assert read_all(reader) == [1, 2, 3]
    for _ in range(5):
        journal.append(draft())
    assert read_all(reader) == [4, 5, 6, 7, 8]


def test_nothing_is_handed_out_that_a_power_loss_could_take_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, directory = written(path, 3)

    def fails(_fd: int) -> None:
        raise OSError(errno.EIO, "the disk failed")

    monkeypatch.setattr("whodid.journal.reader.datasync", fails)
    with pytest.raises(OSError, match="the disk failed"):
        JournalReader(directory).read()


def test_a_line_without_a_newline_is_not_read_before_it_is_whole(path: Path) -> None:
    _, directory = written(path, 1)
    segment = segment_of(path)
    line = segment.read_bytes()
    reader = JournalReader(directory)
    segment.write_bytes(line[:-1])
    assert reader.read() == []
    segment.write_bytes(line)
    assert seqs(reader.read()) == [1]


@pytest.mark.parametrize("damage", [b"garbage", b"{}", b'{"hash":"x"}', b"", b"\xff\xfe", b"null", b"x" * 300_000])
def test_a_damaged_line_is_handed_out_as_such_and_the_rest_is_read(path: Path, damage: bytes) -> None:
    _, directory = written(path, 3)
    segment = segment_of(path)
    lines = segment.read_bytes().splitlines()
    lines[1] = damage
    segment.write_bytes(b"\n".join(lines) + b"\n")
    assert read_all(JournalReader(directory), 700) == [1, -1, 3]


def test_a_line_of_a_higher_major_format_is_set_aside_and_one_with_added_fields_is_read(path: Path) -> None:
    journal = Journal(path)
    for version in ("2.0", "2.7", "3.0", "2.0"):
        position = journal.append(Draft({"type": "t", "schema_version": version, "device": "phone"}), "process")
    first, second, third, fourth = JournalReader(path / position.journal).read()
    assert seqs([first, second, fourth]) == [1, 2, 4]
    assert isinstance(second, Line)
    assert second.entry["device"] == "phone"
    assert isinstance(third, Damaged)
    assert third.reason == "its format is 3.x, and this whodid reads 2.x; upgrade whodid here"


def test_the_acknowledged_position_is_read_back(tmp_path: Path) -> None:
    Acknowledged(7, "ab" * 32).write(tmp_path)
    assert Acknowledged.read(tmp_path) == Acknowledged(7, "ab" * 32)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seq": "x"}', "\0\0\0"])
def test_an_unreadable_position_counts_as_nothing_shipped(tmp_path: Path, content: str) -> None:
    (tmp_path / "acknowledged").write_text(content)
    assert Acknowledged.read(tmp_path) == Acknowledged()


@pytest.mark.parametrize("cut", [0, 1, 7, 40, 90, 110, 4095])
def test_a_position_torn_while_it_was_written_is_the_one_before(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "acknowledged"
    for seq in (97, 98, 99):
        Acknowledged(seq, "ab" * 32).write(tmp_path)
    before = file.read_bytes()
    Acknowledged(100, "cd" * 32).write(tmp_path)
    after = file.read_bytes()
    [slot] = [start for start in (0, 4096) if before[start : start + 4096] != after[start : start + 4096]]
    file.write_bytes(after[: slot + cut] + before[slot + cut :])
    assert Acknowledged.read(tmp_path) == Acknowledged(99, "ab" * 32) or cut == 4095
    Acknowledged(101, "ef" * 32).write(tmp_path)
    assert Acknowledged.read(tmp_path).seq == 101


def test_the_position_is_written_without_any_new_file_or_byte(tmp_path: Path) -> None:
    Acknowledged().reserve(tmp_path)
    before = (tmp_path / "acknowledged").stat()
    for seq in range(1, 5):
        Acknowledged(seq, "ab" * 32).write(tmp_path)
    after = (tmp_path / "acknowledged").stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)
    assert [file.name for file in tmp_path.iterdir()] == ["acknowledged"]


def test_segments_are_pruned_once_acknowledged_and_the_chain_goes_on(path: Path) -> None:
    journal, directory = written(path, 20, 1000)
    before = len(list(directory.glob("*.ndjson")))
    Acknowledged(10, _hash_of(directory, 10)).write(directory)
    gone = prune(directory)
    assert 0 < len(gone) < before
    assert read_all(JournalReader(directory, 10)) == list(range(11, 21))
    Acknowledged(20, _hash_of(directory, 20)).write(directory)
    prune(directory)
    journal.close()
    assert Journal(path).append(draft()).seq == 21


def test_segments_are_kept_as_many_days_as_asked(path: Path) -> None:
    _, directory = written(path, 20, 1000)
    Acknowledged(20, _hash_of(directory, 20)).write(directory)
    assert prune(directory, keep_days=1) == []
    newest = max(f.stat().st_mtime for f in directory.glob("*.ndjson"))
    assert prune(directory, keep_days=1, now=newest + 2 * 86400) != []


def _hash_of(directory: Path, seq: int) -> str:
    reader = JournalReader(directory)
    while lines := reader.read():
        for line in lines:
            if isinstance(line, Line) and line.seq == seq:
                return line.hash
    raise AssertionError(seq)
