"""The guard: an unexpected error is alarmed once and retried; what ends a program ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.errors import WitnessError
from whodid.journal import JournalDirectory
from whodid.shipping.guard import Guard


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Part:
    """Fails while it has an error to raise."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.error:
            raise self.error
        return "done"


@pytest.fixture
def directory(tmp_path: Path) -> JournalDirectory:
    return JournalDirectory(tmp_path / "journal", create=True)


def test_a_part_that_fails_rests_longer_each_time_and_is_tried_for_ever(directory: JournalDirectory) -> None:
    clock, part = Clock(), Part()
    guard = Guard(directory.path, lambda text: None, monotonic=clock)
    part.error = ZeroDivisionError()
    tried = []
    for second in range(1200):
        clock.now = float(second)
        calls = part.calls
        assert guard("a part", part, lambda: "otherwise") == "otherwise"
        if part.calls > calls:
            tried.append(second)
    assert tried == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]
    assert guard("another part", lambda: "done", lambda: "otherwise") == "done"
    part.error = None
    clock.now = 1411.0
    assert guard("a part", part, lambda: "otherwise") == "done"
    assert guard.why("a part") == ""


def test_it_is_alarmed_and_told_once_without_what_it_quotes(directory: JournalDirectory) -> None:
    told: list[str] = []
    clock, part = Clock(), Part()
    guard = Guard(directory.path, told.append, monotonic=clock)
    part.error = KeyError("203.0.113.9")
    for second in (0.0, 10.0, 20.0):
        clock.now = second
        guard("retention", part, lambda: "")
    [alarm] = directory.alarms()
    assert [alarm["about"]] == told
    assert told[0].startswith("retention: unexpected KeyError at test_guard.py:")
    assert "203.0.113.9" not in told[0]


def test_an_error_of_ours_is_told_in_its_own_words(directory: JournalDirectory) -> None:
    told: list[str] = []
    part = Part()
    part.error = WitnessError("the witness is away")
    Guard(directory.path, told.append)("checkpoints", part, lambda: "")
    assert told == ["checkpoints: the witness is away"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_passes(end: type[BaseException], directory: JournalDirectory) -> None:
    part = Part()
    part.error = end()
    with pytest.raises(end):
        Guard(directory.path, lambda text: None)("a part", part, lambda: "otherwise")


def test_a_log_that_can_not_be_written_to_is_no_second_failure(tmp_path: Path) -> None:
    def closed(_text: str) -> None:
        raise BrokenPipeError

    part = Part()
    part.error = ZeroDivisionError()
    assert Guard(tmp_path / "missing", closed)("a part", part, lambda: "otherwise") == "otherwise"
