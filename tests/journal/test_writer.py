"""The journal's writer: one chain, whoever writes; torn tails, forks, kills, full disks, copies."""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import independent
from tests.live.corner import eventually
from whodid.entry import Stamp
from whodid.errors import JournalDamaged, JournalFull, JournalLocked, NotRecorded
from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory, prune, read_entries
from whodid.journal.chain import Chain
from whodid.journal.lock import FileLock
from whodid.journal.segment import Segment, last_link


def draft(target: str = "x") -> Draft:
    return Draft({"type": "t", "target": target, "client_ip": "203.0.113.9"}, {"client_ip"})


def targets(path: Path) -> list[str]:
    entries = list(read_entries(path))
    assert independent.problems(entries) == []
    return [entry["target"] for entry in entries]


def segment_of(path: Path) -> Path:
    return max(path.glob("*/[0-9]*.ndjson"))


def alarms(path: Path) -> list[str]:
    return [alarm["alarm"] for alarm in JournalDirectory(path).alarms()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_entries_are_numbered_without_a_gap_and_chained(path: Path) -> None:
    journal = Journal(path)
    positions = [journal.append(draft(str(n))) for n in range(5)]
    assert [position.seq for position in positions] == [1, 2, 3, 4, 5]
    assert targets(path) == ["0", "1", "2", "3", "4"]


def test_the_directory_is_private(path: Path) -> None:
    Journal(path).append(draft())
    assert path.stat().st_mode & 0o777 == 0o700
    assert [f for f in path.rglob("*") if f.is_file() and f.stat().st_mode & 0o077] == []


def test_two_writers_of_one_process_share_one_chain(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    for n in range(6):
        (first, second)[n % 2].append(draft(str(n)))
    assert targets(path) == [str(n) for n in range(6)]


def test_a_chain_goes_on_after_a_restart(path: Path) -> None:
    Journal(path).append(draft("a"))
    Journal(path).append(draft("b"))
    assert targets(path) == ["a", "b"]


def test_threads_share_one_chain_and_their_syncs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    threads = [threading.Thread(target=lambda: [journal.append(draft()) for _ in range(20)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(targets(path)) == 320


def _append_many(path: Path, count: int) -> None:
    journal = Journal(path)
    for _ in range(count):
        journal.append(draft(), "process")


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_share_one_chain(path: Path, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    processes = [context.Process(target=_append_many, args=(path, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(targets(path)) == 200


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_uses_its_own_descriptors_and_both_go_on(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("before"))
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                journal.append(draft("child"))
            os._exit(0)
        finally:
            os._exit(1)
    for _ in range(20):
        journal.append(draft("parent"))
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(targets(path)) == ["before", *["child"] * 20, *["parent"] * 20]


_c_fork = ctypes.PyDLL(None).fork
"""As application servers written in C do: none of Python's handlers runs. It keeps the lock of the interpreter."""


def _in_forked_child(work: Callable[[], object]) -> int:
    """Forks while no other thread asks for Python's lock: the child would wait for ever for that thread to take it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1)  # who waits from now on asks for it after a second
    time.sleep(4 * before)  # who has waited until now gets it
    child = int(_c_fork())
    sys.setswitchinterval(before)
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def test_forks_that_python_does_not_see_share_one_chain_and_no_salt(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("before"), "process")

    def work() -> None:
        for n in range(40):
            journal.append(draft("child"), "disk" if n % 2 else "process")

    children = [_in_forked_child(work) for _ in range(3)]
    work()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
    entries = list(read_entries(path))
    assert independent.problems(entries) == []
    assert [entry["seq"] for entry in entries] == list(range(1, 162))
    assert len({entry["salt"] for entry in entries}) == 161


@pytest.mark.parametrize("held", ["_threads", "_group"])
def test_a_fork_that_python_does_not_see_while_another_thread_records_leaves_nothing_held(
    path: Path, held: str
) -> None:
    journal = Journal(path, lock_timeout=60)
    journal.append(draft("before"))
    inside, go_on = threading.Event(), threading.Event()

    class Waiting(Draft):
        def seal(self, journal_id: str, seq: int, prev: str) -> tuple[str, bytes]:
            inside.set()
            assert go_on.wait(60)
            return super().seal(journal_id, seq, prev)

    durability: Any = "process" if held == "_threads" else "disk"
    thread = threading.Thread(target=journal.append, args=(Waiting({"type": "t", "target": "thread"}), durability))
    thread.start()
    assert inside.wait(60)
    reader, writer = os.pipe()

    def work() -> None:
        os.close(writer)
        os.read(reader, 1)  # until the parent has given the file lock back
        journal.append(draft("child"), durability)
        journal.close()

    child = _in_forked_child(work)
    go_on.set()
    thread.join()
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    assert targets(path) == ["before", "thread", "child"]


def test_a_child_of_a_fork_that_python_does_not_see_ends_without_a_trace(path: Path) -> None:
    """What the parent has yet to sync is the parent's: `close` of the child, which syncs, leaves it alone."""
    journal = Journal(path)
    journal.append(draft("a"), "process")
    child = _in_forked_child(journal.close)
    assert os.waitpid(child, 0)[1] == 0
    journal.append(draft("b"), "process")
    journal.close()
    assert targets(path) == ["a", "b"]
    assert alarms(path) == []


@pytest.mark.parametrize("torn", [b'{"hash":"abc', b"\0" * 500, b"x" * 70_000])
def test_half_a_line_that_a_crash_left_is_kept_aside_and_cut(path: Path, torn: bytes) -> None:
    Journal(path).append(draft("a"))
    with segment_of(path).open("ab") as file:
        file.write(torn)
    position = Journal(path).append(draft("b"))
    assert targets(path) == ["a", "b"]
    assert position.seq == 2
    assert segment_of(path).with_name(segment_of(path).name + ".torn").read_bytes() == torn + b"\n"
    assert alarms(path) == ["torn tail"]


def test_a_running_writer_cuts_what_another_that_was_killed_left(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    with segment_of(path).open("ab") as file:
        file.write(b'{"half')
    journal.append(draft("b"))
    assert targets(path) == ["a", "b"]


def test_a_damaged_last_line_ends_the_journal_and_recording_goes_on(path: Path) -> None:
    Journal(path).append(draft("a"))
    with segment_of(path).open("ab") as file:
        file.write(b'{"edited":"by hand"}\n')
    position = Journal(path).append(draft("b"))
    assert position.seq == 1
    assert sorted(targets(path)) == ["a", "b"]
    assert alarms(path) == ["new journal"]


def test_a_segment_is_closed_by_size_and_the_chain_goes_on_in_the_next(path: Path) -> None:
    journal = Journal(path, segment_bytes=2000)
    for n in range(20):
        journal.append(draft(str(n)))
    modes = [f.stat().st_mode & 0o777 for f in sorted(path.glob("*/[0-9]*.ndjson"))]
    assert len(modes) > 3
    assert modes == [0o400] * (len(modes) - 1) + [0o600]
    assert targets(path) == [str(n) for n in range(20)]


def test_a_segment_is_closed_when_asked_whoever_writes_to_it(path: Path) -> None:
    writer, other = Journal(path), Journal(path)
    writer.append(draft("a"))
    for _ in range(2):  # an empty one stays open
        other.close_segment()
    writer.append(draft("b"))
    other.append(draft("c"))
    first, second = sorted(path.glob("*/[0-9]*.ndjson"))
    assert [f.stat().st_mode & 0o777 for f in (first, second)] == [0o400, 0o600]
    assert (first.read_bytes().count(b"\n"), targets(path)) == (1, ["a", "b", "c"])
    assert alarms(path) == []


def test_a_group_of_threads_fills_no_segment_beyond_its_size(path: Path) -> None:
    journal = Journal(path, segment_bytes=2000)
    threads = [threading.Thread(target=lambda: [journal.append(draft()) for _ in range(20)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(targets(path)) == 320
    assert max(segment.stat().st_size for segment in path.glob("*/[0-9]*.ndjson")) <= 2000


def test_a_group_of_threads_gets_what_fits_under_max_bytes_and_the_others_an_error(path: Path) -> None:
    journal = Journal(path, max_bytes=20_000)
    came: list[object] = []

    def append() -> None:
        try:
            came.append(journal.append(draft("x" * 100)).seq)
        except JournalFull as error:
            came.append(error)

    threads = [threading.Thread(target=append) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded = [seq for seq in came if isinstance(seq, int)]
    assert len(came) == 64
    assert 0 < len(recorded) < 64
    assert sorted(recorded) == list(range(1, len(targets(path)) + 1))


def test_a_segment_is_closed_by_age(path: Path) -> None:
    now = [0.0]
    journal = Journal(path, segment_age=3600, monotonic=lambda: now[0])
    journal.append(draft("a"))
    now[0] = 3601
    journal.append(draft("b"))
    assert len(list(path.glob("*/[0-9]*.ndjson"))) == 2
    assert targets(path) == ["a", "b"]


@pytest.mark.parametrize(("seconds", "segments"), [(3500, 1), (3700, 2), (-3700, 1)])
def test_the_age_of_a_segment_is_that_of_its_first_entry_whoever_wrote_it(
    path: Path, seconds: float, segments: int
) -> None:
    """So a segment is closed by age also where no process lives that long."""
    made = Stamp.from_ns(time.time_ns() - int(seconds * 1e9)).timestamp
    details = {"@timestamp": "2000-01-01T00:00:00Z"}  # of the caller's
    entry = {"type": "t", "target": "a", "@timestamp": made, "details": details, "client_ip": "203.0.113.9"}
    Journal(path, segment_age=3600).append(Draft(entry, {"client_ip"}))
    Journal(path, segment_age=3600).append(draft("b"))
    assert len(list(path.glob("*/[0-9]*.ndjson"))) == segments
    assert targets(path) == ["a", "b"]


def test_another_writer_notices_that_a_segment_was_closed(path: Path) -> None:
    slow, fast = Journal(path, segment_bytes=1500), Journal(path, segment_bytes=1500)
    slow.append(draft("slow"))
    for _ in range(10):
        fast.append(draft("fast"))
    slow.append(draft("slow"))
    assert targets(path) == ["slow", *["fast"] * 10, "slow"]


def test_another_writer_notices_that_a_segment_was_closed_without_a_line_more(path: Path) -> None:
    slow, fast = Journal(path), Journal(path, segment_bytes=1)
    slow.append(draft("a"))
    fast.append(draft("b"))
    slow.append(draft("c"))
    assert targets(path) == ["a", "b", "c"]
    assert [len(segment.read_bytes().splitlines()) for segment in sorted(path.glob("*/[0-9]*.ndjson"))] == [1, 2]


def test_a_call_inside_a_call_of_the_same_thread_is_an_error_at_once(path: Path) -> None:
    """As from a signal handler, or a finalizer that the garbage collector runs."""
    journal = Journal(path, lock_timeout=60)

    class Interrupting(Draft):
        def seal(self, journal_id: str, seq: int, prev: str) -> tuple[str, bytes]:
            with pytest.raises(JournalLocked, match="signal handler"):
                journal.append(draft("inner"), "process")
            return super().seal(journal_id, seq, prev)

    journal.append(Interrupting({"type": "t", "target": "outer"}), "process")
    assert targets(path) == ["outer"]


def test_of_a_group_each_entry_that_fits_is_recorded(path: Path) -> None:
    Journal(path).append(draft("first"))
    journal = Journal(path, max_bytes=2000)
    small, large, other = journal._write([draft("a"), draft("x" * 3000), draft("b")])
    assert isinstance(large, JournalFull)
    assert not isinstance(small, Exception)
    assert not isinstance(other, Exception)
    assert targets(path) == ["first", "a", "b"]


def test_an_empty_segment_left_by_a_crash_is_used(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    old = segment_of(path)
    old.chmod(0o400)
    old.with_name("00000000000000000002.ndjson").touch(0o600)
    journal.append(draft("b"))
    assert targets(path) == ["a", "b"]
    assert len(list(path.glob("*/[0-9]*.ndjson"))) == 2


@pytest.mark.parametrize("behind", [b'{"hash":"abc', b""])
def test_a_segment_that_the_shipper_deletes_while_a_writer_starts_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, behind: bytes
) -> None:
    """Half a line that a kill left looks like an entry to the shipper, which then deletes what is before it."""
    journal = Journal(path)
    journal.append(draft("a"))
    position = journal.append(draft("b"))
    old = segment_of(path)
    old.chmod(0o400)
    last = old.with_name("00000000000000000003.ndjson")
    last.touch(0o600)
    last.write_bytes(behind)

    def meanwhile(segment: Path) -> Any:
        Acknowledged(position.seq, position.hash).write(segment.parent)
        old.unlink()
        return last_link(segment)

    monkeypatch.setattr("whodid.journal.chain.last_link", meanwhile)
    Journal(path).append(draft("c"))
    assert [entry["seq"] for entry in read_entries(path)] == [3]
    assert alarms(path) == (["torn tail"] if behind else [])


def test_a_copied_directory_starts_a_journal_of_its_own(path: Path, tmp_path: Path) -> None:
    Journal(path).append(draft("a"))
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    original, copied = Journal(path).append(draft("b")), Journal(copy).append(draft("b"))
    assert original.journal != copied.journal
    assert (original.seq, copied.seq) == (2, 1)
    assert alarms(copy) == ["new journal"]
    assert alarms(path) == []


def test_a_directory_rolled_back_behind_its_acknowledged_position_starts_anew(path: Path) -> None:
    first = Journal(path).append(draft("a"))
    Acknowledged(5, "f" * 64).write(path / first.journal)
    second = Journal(path).append(draft("b"))
    assert second.journal != first.journal
    assert alarms(path) == ["new journal"]


def _fails(number: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_raises_and_recording_goes_on_once_there_is_space(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.os.write", _fails(number))
        with pytest.raises(JournalFull, match="no space"):
            journal.append(draft("b"))
    assert journal.append(draft("c")).seq == 2
    assert targets(path) == ["a", "c"]


def test_a_short_write_is_cut_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.os.write", lambda fd, data: write(fd, data[:100]))
        with pytest.raises(JournalFull, match="only 100 of"):
            journal.append(draft("b"))
    assert journal.append(draft("c")).seq == 2
    assert targets(path) == ["a", "c"]


def test_a_failed_write_ends_the_journal_and_recording_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    with monkeypatch.context() as patched:
        patched.setattr(Segment, "append", _fails(errno.EIO))
        with pytest.raises(NotRecorded, match="not known to be recorded"):
            journal.append(draft("b"))
    assert journal.append(draft("c")).journal != first.journal
    assert sorted(targets(path)) == ["a", "c"]
    assert alarms(path) == ["new journal"]


@pytest.mark.usefixtures("no_flush")
def test_a_failed_sync_is_never_retried_and_ends_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.datasync", _fails(errno.EIO))
        with pytest.raises(NotRecorded, match="could not be synced"):
            journal.append(draft("b"))
    assert journal.append(draft("c")).journal != first.journal
    assert alarms(path) == ["new journal"]


@pytest.mark.parametrize("ending", ["done", "failing", "interrupted", "interrupted, and not marked"])
@pytest.mark.usefixtures("no_flush")
def test_a_failed_sync_is_an_error_for_all_who_wait_and_for_all_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The kernel forgets what it could not write: the next sync of that file succeeds without it."""
    journal = Journal(path)
    first = journal.append(draft("a"), "process")
    chain = journal._chain
    assert chain is not None
    segment = chain.segment
    assert segment is not None
    tries: list[int] = []

    def sync(fd: int) -> None:
        tries.append(fd)
        if len(tries) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def end(_chain: Chain, _reason: str) -> None:
        raise OSError(errno.EIO, "the disk") if ending == "failing" else KeyboardInterrupt

    monkeypatch.setattr("whodid.journal.segment.datasync", sync)
    with monkeypatch.context() as patched:
        if ending == "interrupted, and not marked":
            patched.setattr(FileLock, "replace", _fails(errno.EIO))
        if ending != "done":
            patched.setattr(Chain, "end_if_possible", end)
        with pytest.raises((NotRecorded, KeyboardInterrupt)):
            journal.append(draft("b"))
    for offset in (1, segment.size):
        with pytest.raises(NotRecorded, match="could not be synced"):
            segment.sync(offset)
    assert len(tries) == 1
    for later in (journal, Journal(path)):
        assert later.append(draft("c")).journal != first.journal
    assert alarms(path) == ["new journal"]


@pytest.mark.usefixtures("no_flush")
def test_a_journal_that_ended_is_ended_for_every_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Journal(path), Journal(path)
    ended = first.append(draft("a")).journal
    second.append(draft("b"))
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.datasync", _fails(errno.EIO))
        with pytest.raises(NotRecorded):
            first.append(draft("c"))
    positions = [second.append(draft("d")), first.append(draft("e"))]
    assert [position.seq for position in positions] == [1, 2]
    assert {position.journal for position in positions} != {ended}


def test_max_bytes_is_a_limit_for_all_segments_together(path: Path) -> None:
    journal = Journal(path, segment_bytes=1000, max_bytes=3000)
    with pytest.raises(JournalFull, match="max_bytes = 3000"):
        for _ in range(100):
            journal.append(draft())
    assert sum(f.stat().st_size for f in path.glob("*/[0-9]*.ndjson")) <= 3000
    assert targets(path)


def test_a_lock_that_another_process_holds_ends_in_an_error_that_names_it(path: Path) -> None:
    journal = Journal(path, lock_timeout=0.2)
    journal.append(draft("a"))
    holder = FileLock(path / "lock")
    holder.acquire(1)
    try:
        with pytest.raises(JournalLocked, match=f"process {os.getpid()}" if sys.platform == "linux" else "locked"):
            journal.append(draft("b"))
    finally:
        holder.close()
    journal.append(draft("c"))
    assert targets(path) == ["a", "c"]


def test_a_link_in_the_place_of_a_segment_is_refused(path: Path, tmp_path: Path) -> None:
    Journal(path).append(draft("a"))
    segment = segment_of(path)
    segment.rename(tmp_path / "elsewhere")
    segment.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalDamaged, match="symbolic link"):
        Journal(path).append(draft("b"))


def test_a_directory_of_a_newer_version_is_refused(path: Path) -> None:
    Journal(path).append(draft("a"))
    (path / "current").write_text('{"format": 2, "journal": "x"}')
    with pytest.raises(JournalDamaged, match="newer whodid"):
        Journal(path).append(draft("b"))


@pytest.mark.parametrize("late", ["a sync", "a waiting call"])
def test_a_segment_closed_by_another_process_shipped_and_deleted_meanwhile_is_no_failed_sync(
    tmp_path: Path, late: str
) -> None:
    path = tmp_path / "journal"
    ours, theirs = Journal(path, segment_bytes=600), Journal(path, segment_bytes=600)
    ours.append(draft("ours"), "process")
    chain = ours._chain
    assert chain is not None
    segment = chain.segment
    assert segment is not None
    positions = [theirs.append(draft(f"theirs {n}" + "x" * 300), "process") for n in range(3)]
    directory = JournalDirectory(path).journal(positions[-1].journal)
    Acknowledged(positions[-1].seq, positions[-1].hash).write(directory)
    assert segment.path in prune(directory)
    if late == "a sync":
        ours.sync()
    else:
        segment.sync(segment.size)
    assert JournalDirectory(path).alarms() == []
    assert ours.append(draft("again")).journal == positions[-1].journal


def test_the_thread_that_syncs_ends_when_nothing_comes_and_another_one_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.journal.writer._IDLE", 0.01)
    journal = Journal(tmp_path)
    for target in ("a", "b"):
        journal.append(draft(target), "process")
        first = journal._flusher
        eventually(lambda: journal._flusher is None)
        assert first
        first.join()
    segment = journal._unsynced
    assert segment
    assert segment._synced == segment.size
