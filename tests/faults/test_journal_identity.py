"""A file is what its name leads to: files renamed, removed or replaced, directories moved, numbers given to others.

Everything happens while a writer has the file open. What a caller has a receipt for from then on is where the shipper
finds it, what was in a file that is gone is alarmed, and no file of the application is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.test_writer import alarms, draft, segment_of, targets
from whodid.errors import JournalDamaged, NotRecorded
from whodid.journal import Journal, JournalDirectory
from whodid.journal.lock import FileLock

Durability = pytest.mark.parametrize("durability", ["disk", "process"])


class Clock:
    """Stands still but for `later`, after which files are looked at again under `process`, too."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        self.now += 0.02


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def about(path: Path) -> list[str]:
    return [alarm["about"] for alarm in JournalDirectory(path).alarms()]


def renamed(segment: Path) -> Path:
    return segment.rename(f"{segment}.1")


def renamed_and_created(segment: Path) -> Path:
    """As logrotate does with `create`."""
    moved = renamed(segment)
    segment.touch(0o600)
    return moved


def edited_in_place(segment: Path) -> Path:
    """As `sed -i` does: a copy takes the file's place."""
    copy = segment.with_name("copy")
    shutil.copy2(segment, copy)
    return copy.rename(segment)


def removed_though_linked(segment: Path) -> Path:
    linked = segment.with_name("backup")
    os.link(segment, linked)
    segment.unlink()
    return linked


@Durability
@pytest.mark.parametrize("change", [renamed, renamed_and_created, edited_in_place, removed_though_linked])
def test_a_segment_whose_name_leads_elsewhere_is_not_written_to_and_ends_its_journal(
    path: Path, clock: Clock, change: Callable[[Path], Path], durability: str
) -> None:
    journal = Journal(path, monotonic=clock)
    before = [journal.append(draft(name), durability) for name in "ab"]  # type: ignore[arg-type]
    old = change(segment_of(path))
    size = old.stat().st_size
    clock.later()
    after = [journal.append(draft(name), durability) for name in "cd"]  # type: ignore[arg-type]
    assert [position.seq for position in after] == [1, 2]
    assert after[0].journal != before[0].journal
    assert old.stat().st_size == size
    assert targets(path)[-2:] == ["c", "d"]
    [alarm] = about(path)
    assert "entries 1 to 2 were in it" in alarm


@Durability
def test_a_segment_that_was_removed_ends_its_journal(path: Path, clock: Clock, durability: str) -> None:
    journal = Journal(path, monotonic=clock)
    journal.append(draft("a"), durability)  # type: ignore[arg-type]
    segment_of(path).unlink()
    clock.later()
    journal.append(draft("b"), durability)  # type: ignore[arg-type]
    assert targets(path) == ["b"]
    [alarm] = about(path)
    assert "entries 1 to 1 were in it" in alarm


def test_each_write_under_disk_is_preceded_by_a_look(path: Path, clock: Clock) -> None:
    journal = Journal(path, monotonic=clock)
    journal.append(draft("a"))
    old = renamed(segment_of(path))
    size = old.stat().st_size
    journal.append(draft("b"))
    assert old.stat().st_size == size
    assert targets(path) == ["b"]


def test_half_a_line_is_not_cut_from_a_segment_that_was_renamed(path: Path, clock: Clock) -> None:
    journal = Journal(path, monotonic=clock)
    journal.append(draft("a"), "process")
    old = renamed(segment_of(path))
    with old.open("ab") as file:
        file.write(b"half a line")
    journal.append(draft("b"), "process")
    assert old.read_bytes().endswith(b"half a line")
    assert targets(path) == ["b"]


@pytest.mark.usefixtures("no_flush")
def test_a_segment_renamed_between_the_write_and_the_sync_gives_no_receipt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.append(draft("a"))

    def meanwhile(_fd: int) -> None:
        if not list(path.glob("*/*.1")):
            renamed(segment_of(path))

    monkeypatch.setattr("whodid.journal.segment.datasync", meanwhile)
    with pytest.raises(NotRecorded, match="renamed, removed or replaced"):
        journal.append(draft("b"))
    journal.append(draft("c"))
    assert targets(path) == ["c"]
    assert alarms(path) == ["new journal"]


def test_each_writer_notices_a_renamed_segment_and_it_is_alarmed_once(path: Path) -> None:
    writers = [Journal(path) for _ in range(4)]
    for number, writer in enumerate(writers):
        writer.append(draft(f"{number}"))
    renamed(segment_of(path))
    for number, writer in enumerate(writers):
        writer.append(draft(f"{number} again"))
    assert targets(path) == [f"{number} again" for number in range(4)]
    [alarm] = about(path)
    assert "entries 1 to 4 were in it" in alarm
    [ended] = path.glob("*/ended")
    assert json.loads(ended.read_bytes())["last"] == 4


def test_a_hard_link_to_a_segment_changes_nothing(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    os.link(segment_of(path), tmp_path / "backup")
    journal.append(draft("b"))
    assert targets(path) == ["a", "b"]
    assert alarms(path) == []


def test_lines_that_are_gone_after_all_files_were_closed_end_the_journal(path: Path) -> None:
    """What the process knows to be recorded outlives its descriptors."""
    journal = Journal(path)
    journal.append(draft("a"), "process")
    journal.close()
    segment_of(path).unlink()
    (path / "durable").unlink()
    journal.append(draft("b"))
    [alarm] = about(path)
    assert "1 entries were recorded, but the data ends at 0" in alarm


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def moved_and_created(path: Path) -> None:
    moved(path)
    path.mkdir(0o700)


def moved_and_linked_to_another(path: Path) -> None:
    moved(path)
    path.with_name("another").mkdir(0o700)
    path.symlink_to("another")


@Durability
@pytest.mark.parametrize("change", [shutil.rmtree, moved, moved_and_created, moved_and_linked_to_another])
def test_a_directory_that_was_moved_or_removed_is_not_written_to_and_alarmed(
    path: Path, clock: Clock, change: Callable[[Path], None], durability: str
) -> None:
    journal, other = Journal(path, monotonic=clock), Journal(path, monotonic=clock)
    for name in "ab":
        journal.append(draft(name), durability)  # type: ignore[arg-type]
    other.append(draft("c"), durability)  # type: ignore[arg-type]
    change(path)
    clock.later()
    journal.append(draft("d"), durability)  # type: ignore[arg-type]
    other.append(draft("e"), durability)  # type: ignore[arg-type]
    assert targets(path) == ["d", "e"]
    if path.with_name("elsewhere").exists():
        assert targets(path.with_name("elsewhere")) == ["a", "b", "c"]
    [alarm] = about(path)
    assert "was moved or removed while it was in use, with its entries up to number 2" in alarm


def test_a_directory_that_was_moved_and_is_linked_to_goes_on(path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"))
    moved(path)
    path.symlink_to("elsewhere")
    journal.append(draft("b"))
    assert targets(path) == ["a", "b"]
    assert alarms(path) == []


def test_the_folder_of_the_journal_alone_was_moved(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    first = journal.append(draft("a"))
    (path / first.journal).rename(tmp_path / "elsewhere")
    journal.append(draft("b"))
    assert targets(path) == ["b"]
    assert "new journal" in alarms(path)


def failing_sync(_fd: int) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.usefixtures("no_flush")
def test_a_journal_that_another_process_ended_and_that_was_retired_since_is_not_alarmed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, other = Journal(path), Journal(path)
    ended = idle.append(draft("a")).journal
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.datasync", failing_sync)
        with pytest.raises(NotRecorded):
            other.append(draft("b"))
    shutil.rmtree(path / ended)
    idle.append(draft("c"))
    assert targets(path) == ["c"]
    assert alarms(path) == ["new journal"]


def removed(file: Path) -> None:
    file.unlink()


def replaced(file: Path) -> None:
    new = file.with_name("new")
    shutil.copy2(file, new)
    new.replace(file)


@Durability
@pytest.mark.parametrize("change", [removed, replaced])
def test_two_processes_never_hold_the_lock_on_two_files(
    path: Path, clock: Clock, change: Callable[[Path], None], durability: str
) -> None:
    old = Journal(path, monotonic=clock)
    old.append(draft("a"), durability)  # type: ignore[arg-type]
    change(path / "lock")
    new = Journal(path, monotonic=clock, lock_timeout=0.05)
    new.append(draft("b"), durability)  # type: ignore[arg-type]
    if durability == "process":
        clock.later()
    old.append(draft("c"), durability)  # type: ignore[arg-type]
    assert targets(path) == ["a", "b", "c"]
    assert old._file_lock is not None
    assert new._file_lock is not None
    assert old._file_lock.try_acquire()
    assert not new._file_lock.try_acquire()
    assert alarms(path) == ["lock replaced"]


def test_a_lock_that_is_waited_for_may_be_replaced_meanwhile(path: Path) -> None:
    path.mkdir()
    held, waiting = FileLock(path / "lock"), FileLock(path / "lock")
    assert held.try_acquire()
    assert not waiting.try_acquire()
    (path / "lock").unlink()
    assert waiting.try_acquire()


def test_a_link_in_the_place_of_the_lock_is_refused_while_it_is_in_use(
    path: Path, clock: Clock, tmp_path: Path
) -> None:
    journal = Journal(path, monotonic=clock)
    journal.append(draft("a"))
    (path / "lock").rename(tmp_path / "elsewhere")
    (path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalDamaged, match="lock is a symbolic link"):
        journal.append(draft("b"))


@pytest.mark.usefixtures("no_flush")
def test_a_sync_that_failed_is_seen_in_a_mark_that_was_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Journal(path), Journal(path)
    first.append(draft("a"))
    second.append(draft("b"))
    (path / "durable").unlink()
    for writer in (first, second):
        writer.append(draft("c"), "process")

    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.datasync", failing_sync)
        with pytest.raises(NotRecorded):
            first.append(draft("d"))
    second.sync()
    assert alarms(path) == ["new journal", "sync failed"]


@Durability
@pytest.mark.parametrize("change", [removed, replaced])
def test_writers_agree_which_journal_is_current_after_its_file_was_changed(
    path: Path, clock: Clock, change: Callable[[Path], None], durability: str
) -> None:
    old = Journal(path, monotonic=clock)
    old.append(draft("a"), durability)  # type: ignore[arg-type]
    change(path / "current")
    new = Journal(path, monotonic=clock)
    theirs = new.append(draft("b"), durability)  # type: ignore[arg-type]
    clock.later()
    assert old.append(draft("c"), durability).journal == theirs.journal  # type: ignore[arg-type]
    assert sorted(targets(path)) == ["a", "b", "c"]
    assert alarms(path) == (["new journal"] if change is removed else [])


class Own:
    """A file, pipe or socket of the application, under a number that whodid had."""

    def __init__(self, kind: str, tmp_path: Path, size: int) -> None:
        self.path = tmp_path / "own.db"
        self.path.write_bytes(b"X" * size)
        self._socket: socket.socket | None = None
        if kind == "file":
            self.fd = os.open(self.path, os.O_RDWR)
            self._reader = -1
        elif kind == "pipe":
            self._reader, self.fd = os.pipe()
        else:
            self._socket, other = socket.socketpair()
            self._reader, self.fd = self._socket.detach(), other.detach()
        self._before = os.fstat(self.fd), self.path.stat()
        self.number = -1

    def take(self, number: int) -> None:
        os.dup2(self.fd, number)
        self.number = number

    def is_untouched(self) -> bool:
        if self._reader >= 0:
            os.set_blocking(self._reader, False)
            with pytest.raises(BlockingIOError):
                os.read(self._reader, 1)
        now = os.fstat(self.number), self.path.stat()
        same = [(a.st_ino, a.st_size, a.st_mode, a.st_mtime_ns) for a in self._before]
        return same == [(a.st_ino, a.st_size, a.st_mode, a.st_mtime_ns) for a in now]

    def close(self) -> None:
        for fd in {self.fd, self.number, self._reader} - {-1}:
            os.close(fd)


def number_of(journal: Journal, file: str) -> int:
    assert journal._chain
    assert journal._chain.segment
    assert journal._file_lock
    return {
        "segment": journal._chain.segment._file.fd,
        "lock": journal._file_lock._file.fd,
        "durable": journal._chain._mark._file._file.fd,
    }[file]


@Durability
@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
@pytest.mark.parametrize("file", ["segment", "lock", "durable"])
@pytest.mark.parametrize("then", ["append", "close", "rotate", "end"])
def test_a_number_that_was_given_to_the_application_is_left_alone(
    path: Path, tmp_path: Path, clock: Clock, file: str, kind: str, durability: str, then: str
) -> None:
    journal = Journal(path, monotonic=clock, segment_age=60)
    journal.append(draft("a"), durability)  # type: ignore[arg-type]
    own = Own(kind, tmp_path, segment_of(path).stat().st_size)
    own.take(number_of(journal, file))
    clock.later()
    if then == "rotate":
        clock.now += 61
    elif then == "end":
        with segment_of(path).open("ab") as garbage:
            garbage.write(b"{}\n")
    if then != "close":
        journal.append(draft("b"), durability)  # type: ignore[arg-type]
    journal.close()
    assert own.is_untouched()
    own.close()
    assert sorted(targets(path)) == (["a"] if then == "close" else ["a", "b"])
    assert alarms(path) == (["new journal"] if then == "end" else [])


def test_half_a_line_in_a_file_of_the_application_is_not_cut(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    journal.append(draft("a"), "process")
    own = Own("file", tmp_path, 5000)
    own.take(number_of(journal, "segment"))
    journal.append(draft("b"), "process")
    assert own.is_untouched()
    own.close()
    assert targets(path) == ["a", "b"]


_DAEMON = """
import os, sys
from pathlib import Path
import whodid
folder = Path(sys.argv[1])
whodid.configure(journal_dir=folder / "journal", echo=False, durability=sys.argv[2])
log = whodid.get_logger()
with whodid.system():
    log.audit("workflow_completed", target="1", status="SUCCEEDED")
    os.closerange(int(sys.argv[3]), 4096)
    own = [os.open(folder / f"own{n}", os.O_RDWR | os.O_CREAT) for n in range(6)]
    log.audit("workflow_completed", target="2", status="SUCCEEDED")
    ours = [Path(os.readlink(f"/proc/self/fd/{n}")).name for n in range(3)]
for number in own:
    os.fstat(number)
(folder / "standard").write_text(" ".join(ours))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@Durability
@pytest.mark.parametrize("first", [0, 3])
def test_a_daemon_closes_all_descriptors_and_opens_its_own_files(tmp_path: Path, first: int, durability: str) -> None:
    command = [sys.executable, "-c", _DAEMON, str(tmp_path), durability, str(first)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert targets(tmp_path / "journal") == ["1", "2"]
    assert [(tmp_path / f"own{n}").read_bytes() for n in range(6)] == [b""] * 6
    assert alarms(tmp_path / "journal") == []


_STANDARD = """
import os, sys
from contextlib import suppress
from whodid.integrity import Draft
from whodid.journal import Journal
os.closerange(0, 3)
journal = Journal(sys.argv[1])
journal.append(Draft({"type": "t", "target": "a"}))
journal.append(Draft({"type": "t", "target": "b"}))
for number in range(3):
    with suppress(OSError):
        os.write(number, b"not for the journal" * 1000)
"""


def test_what_is_printed_after_the_standard_streams_were_closed_is_in_no_file_of_the_journal(path: Path) -> None:
    subprocess.run([sys.executable, "-c", _STANDARD, str(path)], timeout=60, stdin=subprocess.DEVNULL)
    assert targets(path) == ["a", "b"]
    assert not any(b"not for" in file.read_bytes() for file in path.rglob("*") if file.is_file())
