"""The memory journal: the same assertions hold of it and of the real one."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from tests import independent
from whodid.entry import document_id, entry_id
from whodid.integrity import Draft, read_line
from whodid.journal import Journal, JournalDirectory, read_entries
from whodid.journal.directory import read_lines
from whodid.recording.recorder import Recorder
from whodid.settings import Settings
from whodid.testing import MemoryJournal


class Kind(NamedTuple):
    """A journal, and how to look at what is in it."""

    journal: Journal
    entries: Callable[[], list[dict[str, Any]]]
    rejected: Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=["memory", "files"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "memory":
        memory = MemoryJournal()
        return Kind(memory, lambda: memory.entries, lambda: memory.rejected)
    path = tmp_path / "journal"
    rejected = JournalDirectory(path).rejected
    return Kind(
        Journal(path),
        lambda: list(read_entries(path)),
        lambda: [orjson.loads(line) for line in read_lines(rejected)],
    )


def draft(target: str = "x") -> Draft:
    return Draft({"type": "t", "target": target, "client_ip": "203.0.113.9"}, ("client_ip",))


def targets(kind: Kind) -> list[str]:
    entries = kind.entries()
    assert independent.problems(entries) == []
    return [entry["target"] for entry in entries]


def test_a_new_journal_is_empty(kind: Kind) -> None:
    assert targets(kind) == []


def test_entries_are_numbered_without_a_gap_and_chained(kind: Kind) -> None:
    positions = [kind.journal.append(draft(str(n))) for n in range(5)]
    assert [position.seq for position in positions] == [1, 2, 3, 4, 5]
    assert targets(kind) == ["0", "1", "2", "3", "4"]


def test_a_position_is_that_of_the_entry(kind: Kind) -> None:
    positions = [kind.journal.append(draft()) for _ in range(3)]
    assert [orjson.loads(position.line) for position in positions] == kind.entries()
    assert [document_id(*position[:3]) for position in positions] == [entry_id(entry) for entry in kind.entries()]


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_an_entry_is_there_when_append_returns(kind: Kind, durability: Any) -> None:
    kind.journal.append(draft("a"), durability)
    assert targets(kind) == ["a"]


def test_a_personal_field_is_salted(kind: Kind) -> None:
    kind.journal.append(draft())
    assert [entry["committed"] for entry in kind.entries()] == [["client_ip"]]


def test_threads_share_one_chain(kind: Kind) -> None:
    threads = [threading.Thread(target=lambda: [kind.journal.append(draft()) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(targets(kind)) == 160


def test_a_chain_goes_on_after_sync_and_close(kind: Kind) -> None:
    kind.journal.append(draft("a"))
    kind.journal.sync()
    kind.journal.append(draft("b"))
    kind.journal.close()
    kind.journal.append(draft("c"))
    assert targets(kind) == ["a", "b", "c"]


def test_what_is_quarantined_is_kept_outside_the_chain(kind: Kind) -> None:
    kind.journal.append(draft("a"))
    rejected = {"error": "no", "type": "t", "fields": {"details": {"n": [1, None]}}}
    kind.journal.quarantine(rejected)
    kind.journal.append(draft("b"))
    assert kind.rejected() == [rejected]
    assert targets(kind) == ["a", "b"]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_after_a_fork_parent_and_child_can_append(kind: Kind) -> None:
    kind.journal.append(draft("before"))
    child = os.fork()
    if child == 0:
        try:
            kind.journal.append(draft("child"))
            os._exit(0 if "child" in targets(kind) else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    kind.journal.append(draft("parent"))
    assert targets(kind)[-1] == "parent"


def test_a_recorder_takes_either(kind: Kind) -> None:
    recorder = Recorder(Settings(on_invalid="quarantine"), journal=kind.journal)
    receipt, line = recorder.record("credentials_created", {"target": "6Yk2", "principal": "42"})
    entry = orjson.loads(line)
    refused, _ = recorder.record("credentials_created", {"target": "6Yk2", "principal": "42", "nope": 1})
    assert kind.entries() == [entry]
    assert receipt.entry_id == entry_id(entry)
    assert [call["error"] for call in kind.rejected()] == [refused.error]


def test_a_forked_child_s_lock_is_its_own() -> None:
    """A thread of the parent may have held it at that moment."""
    journal = MemoryJournal()
    journal._lock.acquire()
    journal.after_fork_in_child()
    assert journal.append(draft()).seq == 1


def test_the_lines_in_memory_are_lines_of_a_journal() -> None:
    journal = MemoryJournal()
    journal.append(draft("a"))
    assert [read_line(line) for line in journal.lines] == journal.entries


def test_entries_in_memory_can_t_be_changed_by_who_reads_them() -> None:
    journal = MemoryJournal()
    journal.append(draft("a"))
    journal.entries[0]["target"] = "b"
    assert [entry["target"] for entry in journal.entries] == ["a"]


def test_nothing_that_a_journal_does_on_disk_is_inherited() -> None:
    methods = {name for name, _ in inspect.getmembers(Journal, inspect.isfunction) if not name.startswith("_")}
    assert methods <= vars(MemoryJournal).keys()


def test_no_file_can_be_made_below_its_path() -> None:
    assert not MemoryJournal().path.is_dir()
    with pytest.raises(NotADirectoryError):
        (MemoryJournal().path / "not-recorded").touch()
