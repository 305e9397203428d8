"""The status of a journal directory: numbers that add up, and problems in words."""

from __future__ import annotations

from pathlib import Path

from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters
from whodid.shipping.status import directory_status


def test_a_directory_that_is_not_there_yet_has_nothing_to_say(tmp_path: Path) -> None:
    found = directory_status(str(tmp_path / "none"))
    assert (found.journals, found.backlog, found.problems) == ((), 0, ())
    assert not (tmp_path / "none").exists()


def test_the_backlog_is_what_was_journalled_and_not_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    positions = [journal.append(Draft({"type": "t"}), "process") for _ in range(5)]
    Acknowledged(3, positions[2].hash).write(tmp_path / positions[0].journal)
    [found] = directory_status(str(tmp_path)).journals
    assert (found.last_seq, found.acknowledged, found.backlog, found.current) == (5, 3, 2, True)


def test_problems_are_counted_in_words(tmp_path: Path) -> None:
    directory = JournalDirectory(tmp_path)
    letter = DeadLetter("id", "index", "reason", "{}")
    keep_dead_letters(directory, [letter, letter])
    directory.alarm("torn tail", "half a line")
    dead, alarm = directory_status(str(tmp_path)).problems
    assert dead == "1 dead letters: OpenSearch refused them for good; see `whodid dead-letters`"
    assert alarm.endswith("torn tail: half a line")
