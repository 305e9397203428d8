"""A segment cut at every byte, and with every byte changed: no damaged line is taken, every whole one is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.disk import disk
from tests.journal.test_writer import draft
from whodid.journal import Journal, JournalDirectory, JournalReader, Line, read_entries

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="syncs are left out by way of /proc")


class Bytes:
    """The content of a segment of three entries, in a directory of its own each time."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self._number = 0
        path = self._written()
        self.content = path.read_bytes()
        self.lines = self.content.splitlines()

    def _written(self) -> Path:
        self._number += 1
        journal = Journal(self._tmp_path / f"{self._number}")
        for target in "abc":
            position = journal.append(draft(target), "process")
        journal.close()
        return journal.path / position.journal / "00000000000000000001.ndjson"

    def try_out(self, change: Iterable[tuple[int, bytes, int]]) -> None:
        """Each change is some bytes at an offset, and the length that is left."""
        for offset, new, size in change:
            with disk(self._tmp_path, lambda call, system: system(*call.arguments)):
                segment = self._written()
                content = segment.read_bytes()
                content = (content[:offset] + new + content[offset + len(new) :])[:size]
                original = segment.read_bytes().splitlines()
                segment.write_bytes(content)
                _check(segment, original, content)
            shutil.rmtree(segment.parent.parent)  # the long form makes thousands


def _check(segment: Path, original: list[bytes], content: bytes) -> None:
    untouched = [line for line in content.split(b"\n")[:-1] if line in original]
    assert _read(segment) == untouched
    journal = Journal(segment.parent.parent)
    after = journal.append(draft("after"))
    journal.close()
    assert _read(segment)[: len(untouched)] == untouched
    assert "after" in [entry["target"] for entry in read_entries(journal.path)]
    directory = JournalDirectory(journal.path)
    assert after.journal == segment.parent.name or directory.alarms()


def _read(segment: Path) -> list[bytes]:
    reader, found = JournalReader(segment.parent), []
    while lines := reader.read():
        found += [line.raw for line in lines if isinstance(line, Line)]
    return found


@pytest.fixture
def segment(tmp_path: Path) -> Bytes:
    return Bytes(tmp_path)


def _cuts(segment: Bytes) -> list[tuple[int, bytes, int]]:
    return [(0, b"", size) for size in range(len(segment.content) + 1)]


def _flips(segment: Bytes) -> list[tuple[int, bytes, int]]:
    """Not the bit that makes a lower-case digit of a salt an upper-case one, which says the same."""
    size = len(segment.content)
    return [(n, bytes([byte ^ bit]), size) for n, byte in enumerate(segment.content) for bit in (0x01, 0x80)]


def test_a_segment_cut_anywhere(segment: Bytes) -> None:
    segment.try_out(_cuts(segment)[::4])


def test_a_segment_with_any_byte_changed(segment: Bytes) -> None:
    segment.try_out(_flips(segment)[::7])


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_segment_cut_at_every_byte(segment: Bytes) -> None:
    segment.try_out(_cuts(segment))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_segment_with_every_byte_changed(segment: Bytes) -> None:
    segment.try_out(_flips(segment))


@pytest.mark.parametrize(
    "tail", [b"\0" * 5000, b"\xff\n" * 3, b"\0\n", b"{}\n", b"\n\n", b"x" * 200_000, os.urandom(9000)]
)
def test_a_tail_of_anything(segment: Bytes, tail: bytes) -> None:
    size = len(segment.content)
    segment.try_out([(size, tail, size + len(tail)), (0, tail, max(size, len(tail)))])
