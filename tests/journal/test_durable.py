"""The durable mark: one sync for several processes, and never a sync that was not."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.journal.test_writer import draft, segment_of, targets
from whodid.errors import NotRecorded
from whodid.journal import Journal, JournalDirectory
from whodid.journal.chain import Chain, sync_what_was_left
from whodid.journal.durable import DurableMark, _Unusable
from whodid.journal.lock import FileLock, Hold


class Syncs:
    """Counts syncs in the place of the real one, and fails those that it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.interrupted = False

    def __call__(self, _fd: int) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.count += 1
        if self.fails:
            raise OSError(5, "Input/output error")


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch, no_flush: None) -> Syncs:
    """No process lives as long as until its flush is due."""
    made = Syncs()
    monkeypatch.setattr("whodid.journal.segment.datasync", made)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def name(path: Path) -> str:
    segment = segment_of(path)
    return f"{segment.parent.name}/{segment.stem}"


def test_an_entry_that_another_writer_s_sync_covered_needs_none_of_its_own(path: Path, syncs: Syncs) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"), "process")
    second.append(draft("b"))
    assert syncs.count == 1
    first.sync()
    assert syncs.count == 1


def test_one_sync_covers_what_others_appended_behind_as_well(path: Path, syncs: Syncs) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"), "process")
    second.append(draft("b"), "process")
    first.sync()
    second.sync()
    assert syncs.count == 1


def test_a_sync_that_ctrl_c_interrupted_does_not_count_as_one(path: Path, syncs: Syncs) -> None:
    journal = Journal(path)
    journal.append(draft("a"), "process")
    syncs.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        journal.sync()
    syncs.interrupted = False
    journal.sync()
    assert syncs.count == 1


def test_an_entry_behind_the_mark_is_synced(path: Path, syncs: Syncs) -> None:
    first, second = Journal(path), Journal(path)
    for writer in (first, second, first):
        writer.append(draft())
    assert syncs.count == 3


def test_half_a_line_of_another_process_is_never_marked(path: Path, syncs: Syncs) -> None:
    journal = Journal(path)
    journal.append(draft("a"), "process")
    whole = segment_of(path).stat().st_size
    with segment_of(path).open("ab") as file:
        file.write(b'{"hash":"half a li')
    journal.sync()
    assert DurableMark(path / "durable").read(name(path)) == whole


def test_after_a_failed_sync_nobody_trusts_that_segment(path: Path, syncs: Syncs) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"))
    second.append(draft("b"), "process")
    syncs.fails = True
    with pytest.raises(NotRecorded):
        first.append(draft("c"))
    syncs.fails = False
    second.sync()  # its own entry may be lost: noted, not forgotten
    alarms = [alarm["alarm"] for alarm in JournalDirectory(path).alarms()]
    assert alarms == ["new journal", "sync failed"]
    assert second.append(draft("d")).journal == first.append(draft("e")).journal
    assert targets(path) == ["a", "b", "c", "d", "e"]


def test_lines_that_were_on_disk_and_are_gone_end_the_journal(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    whole = segment_of(path).stat().st_size
    ended = journal.append(draft("b")).journal
    journal.close()
    os.truncate(segment_of(path), whole)
    assert Journal(path).append(draft("c")).journal != ended
    [alarm] = JournalDirectory(path).alarms()
    assert "lines are gone" in alarm["about"]


@pytest.mark.parametrize("after", ["in the same journal", "in another journal"])
@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_a_late_sync_of_a_closed_segment_leaves_the_mark_of_its_successor(
    path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch, after: str, held: bool
) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"), "process")
    if after == "in the same journal":
        second.close_segment()
    else:
        second.append(draft("b"), "process")
        second._exclusively(Chain.end, "a test")
    journal, *_ = second.append(draft("b"))
    mark = (path / "durable").read_bytes()
    newest = max((path / journal).glob("[0-9]*.ndjson"))
    assert mark.startswith(f"{journal}/{newest.stem} ".encode())
    if held:
        other = FileLock(path / "durable")
        assert other.try_acquire()
        monkeypatch.setattr("whodid.journal.segment.datasync", lambda _fd: other.release())
    first.sync()
    assert (path / "durable").read_bytes() == mark
    newest.unlink()
    assert Journal(path).append(draft("c")).journal != journal
    assert "is gone" in JournalDirectory(path).alarms()[-1]["about"]


def test_half_of_one_mark_and_half_of_another_is_none(path: Path, syncs: Syncs) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    FileLock(path / "durable").replace(f"{name(path)} 3999 2999")
    assert DurableMark(path / "durable").read(name(path)) == 0


def test_a_mark_that_can_not_be_written_costs_nothing_but_a_sync(
    path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_lock: FileLock, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileLock, "replace", full)
    first, second = Journal(path), Journal(path)
    for writer in (first, second):
        writer.append(draft())
    assert syncs.count == 2
    assert len({first.append(draft()).journal, second.append(draft()).journal}) == 1


def test_cutting_half_a_line_lowers_the_mark(path: Path, syncs: Syncs) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    size = segment_of(path).stat().st_size
    with segment_of(path).open("ab") as file:
        file.write(b"half")
    mark = DurableMark(path / "durable")
    mark.advance(name(path), size + 4, lambda: size + 4, lambda: 0, lambda: False)  # as no process would
    journal.append(draft("b"))
    assert syncs.count == 2
    assert targets(path) == ["a", "b"]


def test_a_process_that_holds_the_mark_and_hangs_holds_up_nobody(path: Path, syncs: Syncs) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    held = FileLock(path / "durable")
    held.acquire(1)
    journal.append(draft("b"))
    Journal(path).append(draft("c"))
    assert syncs.count == 3
    held.close()


@pytest.mark.usefixtures("no_flush")
def test_a_sync_that_did_not_wait_for_another_is_marked_once_that_one_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    other = FileLock(path / "durable")
    assert other.try_acquire()
    monkeypatch.setattr("whodid.journal.segment.datasync", lambda _fd: other.release())
    journal.append(draft("b"))
    assert DurableMark(path / "durable").read(name(path)) == segment_of(path).stat().st_size


def test_lines_that_another_process_cut_back_do_not_count_as_synced_when_written_anew(path: Path, syncs: Syncs) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"), "process")
    whole = segment_of(path).stat().st_size
    second.append(draft("b"))
    first.sync()  # covered by the other's sync
    assert syncs.count == 1
    with segment_of(path).open("r+b") as file:  # what the other does after a short write of several lines
        file.truncate(whole)
    DurableMark(path / "durable").lower(name(path), whole)
    first.append(draft("c"))
    assert syncs.count == 2


def test_what_a_process_left_that_was_killed_is_synced_by_the_next_that_records(path: Path, syncs: Syncs) -> None:
    Journal(path).append(draft("killed"), "process")
    assert syncs.count == 0
    Journal(path).append(draft("next"), "process")
    assert syncs.count == 1
    assert DurableMark(path / "durable").read(name(path)) == segment_of(path).stat().st_size


def test_of_many_short_lived_processes_no_two_leave_their_entries_to_the_kernel(path: Path, syncs: Syncs) -> None:
    behind = []
    for number in range(8):
        Journal(path).append(draft(str(number)), "process")
        marked = DurableMark(path / "durable").read(name(path))
        behind.append(segment_of(path).read_bytes()[marked:].count(b"\n"))
    assert max(behind) == 1
    assert syncs.count == 4


def test_a_process_that_goes_on_syncs_what_others_left_once(path: Path, syncs: Syncs) -> None:
    Journal(path).append(draft("killed"), "process")
    journal = Journal(path)
    for _ in range(5):
        journal.append(draft(), "process")
    assert syncs.count == 1


def test_what_was_left_is_synced_up_to_the_last_whole_line(path: Path, syncs: Syncs) -> None:
    directory = JournalDirectory(path)
    sync_what_was_left(directory)  # there is no journal yet
    Journal(path).append(draft("killed"), "process")
    whole = segment_of(path).stat().st_size
    with segment_of(path).open("ab") as file:
        file.write(b'{"half')
    for _ in range(2):
        sync_what_was_left(directory)
    assert syncs.count == 1
    assert DurableMark(path / "durable").read(name(path)) == whole


REFUSALS = [errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP]


@pytest.mark.parametrize("number", REFUSALS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("refused", ["try_acquire", "content"])
def test_a_mark_that_the_system_refuses_to_lock_or_to_read_is_no_failed_sync(
    path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch, refused: str, number: int
) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    kept: Any = getattr(FileLock, refused)

    def refuse(lock: FileLock, *arguments: Any, **named: Any) -> Any:
        if lock._path.name == "durable":
            raise OSError(number, os.strerror(number))
        return kept(lock, *arguments, **named)

    monkeypatch.setattr(FileLock, refused, refuse)
    assert journal.append(draft("b")).journal == first.journal
    assert syncs.count == 2
    assert JournalDirectory(path).alarms() == []


def test_a_sync_that_fails_fails_also_where_the_mark_can_not_be_locked(
    path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_mark: DurableMark) -> bool:
        raise _Unusable("No locks available")

    journal = Journal(path)
    first = journal.append(draft("a"))
    syncs.fails = True
    with monkeypatch.context() as patched:
        patched.setattr(DurableMark, "_try_acquire", refuse)
        with pytest.raises(NotRecorded, match="could not be synced"):
            journal.append(draft("b"))
    syncs.fails = False
    assert journal.append(draft("c")).journal != first.journal


@pytest.mark.usefixtures("no_flush")
def test_a_time_limit_amid_a_sync_is_no_failed_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TimeoutError`, which signal handlers raise, is an `OSError`, but none of the system's."""

    def interrupted(_fd: int) -> None:
        raise TimeoutError("the task's time is over")

    journal = Journal(path)
    first = journal.append(draft("a"))
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.datasync", interrupted)
        with pytest.raises(TimeoutError):
            journal.append(draft("b"))
    assert journal.append(draft("c")).journal == first.journal
    assert JournalDirectory(path).alarms() == []


@pytest.mark.usefixtures("no_flush")
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("usable", [True, False])
def test_of_two_threads_none_syncs_beside_the_other_and_misses_its_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, usable: bool, fails: bool
) -> None:
    """The system tells of a failed write once for each open file: a sync at the same time may well succeed."""
    journal = Journal(path)
    journal.append(draft("a"), "process")
    assert journal._chain is not None
    segment = journal._chain.segment
    assert segment is not None
    syncs, begun, met = [], threading.Event(), threading.Event()
    wait = Hold._await_gate

    def datasync(number: int) -> None:
        syncs.append(number)
        if len(syncs) > 1:
            met.set()
            return
        begun.set()
        assert met.wait(60)
        if fails:
            raise OSError(5, "Input/output error")

    def refuse(_mark: DurableMark) -> bool:
        raise _Unusable("No locks available")

    def seen_to_wait(hold: Hold, seconds: float) -> None:
        met.set()
        wait(hold, seconds)

    monkeypatch.setattr("whodid.journal.segment.datasync", datasync)
    monkeypatch.setattr("whodid.journal.durable._PATIENCE", 0.0)
    monkeypatch.setattr(Hold, "_await_gate", seen_to_wait)
    if not usable:
        monkeypatch.setattr(DurableMark, "_try_acquire", refuse)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(segment.sync, segment.size)
        assert begun.wait(60)
        second = threads.submit(segment.sync, segment.size)
        failures = [one.exception(60) for one in (first, second)]
    assert [isinstance(failure, NotRecorded) for failure in failures] == [fails, fails]
    assert len(syncs) == 1
