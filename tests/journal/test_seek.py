"""Seeking: an entry is found by its number wherever it stands, past damage too."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.integrity import Draft
from whodid.journal import Journal
from whodid.journal.reader import entry_at


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    writer = Journal(tmp_path / "journal", segment_bytes=600_000)
    for n in range(3000):
        writer.append(
            Draft({"type": "t", "target": "x" * (n * 31 % 900), "creation_date": "2026-11-23T08:00:00Z"}), "process"
        )
    writer.close()
    return next((tmp_path / "journal").glob("*/journal.json")).parent


def test_every_entry_is_found_by_its_number(journal: Path) -> None:
    assert len(list(journal.glob("[0-9]*.ndjson"))) > 2
    for seq in [*range(1, 3001, 97), 1, 2, 2999, 3000]:
        line = entry_at(journal, seq)
        assert line is not None
        assert (line.seq, line.entry["seq"]) == (seq, seq)


def test_beyond_the_end_there_is_none(journal: Path) -> None:
    assert entry_at(journal, 3001) is None
    assert entry_at(journal, 10**9) is None


def test_a_damaged_line_is_passed_over(journal: Path) -> None:
    line = entry_at(journal, 700)
    assert line is not None
    for path in journal.glob("[0-9]*.ndjson"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(line.hash.encode(), b"0" * 64))
    found = [entry_at(journal, seq) for seq in (699, 700, 702)]
    assert [line and line.seq for line in found] == [699, 702, 702]  # 701 names the hash that is gone as its `prev`


def test_an_empty_journal_has_none(tmp_path: Path) -> None:
    assert entry_at(tmp_path, 1) is None
