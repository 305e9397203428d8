"""The lock of the one active shipper: it belongs to a process, whatever is forked from that, or closed in it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whodid.journal.lock import ProcessLock


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[ProcessLock]:
    made = ProcessLock(tmp_path / "ship.lock")
    yield made
    made.close()


def unseen_fork() -> int:
    """A fork of which Python does not know."""
    return int(ctypes.PyDLL(None).fork())


def in_another_process(work: Callable[[], bool], fork: Callable[[], int] = os.fork) -> bool:
    """What `work` returns in a forked child."""
    child = fork()
    if child == 0:
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("fork", [os.fork, unseen_fork])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_neither_has_the_lock_nor_keeps_it(fork: Callable[[], int], lock: ProcessLock, tmp_path: Path) -> None:
    assert lock.try_acquire()
    assert not in_another_process(ProcessLock(tmp_path / "ship.lock").try_acquire, fork)
    asleep, alive = os.pipe()
    child = fork()
    if child == 0:  # has inherited the descriptor, and does nothing
        os.close(alive)
        os.read(asleep, 1)
        os._exit(0)
    lock.close()
    assert in_another_process(ProcessLock(tmp_path / "ship.lock").try_acquire, fork)
    os.close(alive)
    os.waitpid(child, 0)


def test_a_child_that_takes_over_keeps_its_own_lock_when_it_drops_what_it_inherited(
    lock: ProcessLock, tmp_path: Path
) -> None:
    assert lock.try_acquire()
    asked, answered = os.pipe(), os.pipe()
    child = unseen_fork()
    if child == 0:
        os.read(asked[0], 1)
        own = ProcessLock(tmp_path / "ship.lock")
        os.write(answered[1], b"y" if own.try_acquire() else b"n")
        lock.close()
        os.read(asked[0], 1)
        os._exit(0)
    lock.close()
    os.write(asked[1], b"?")
    assert os.read(answered[0], 1) == b"y"
    assert not lock.try_acquire()
    os.write(asked[1], b"?")
    os.waitpid(child, 0)
    assert lock.try_acquire()


def test_one_object_of_a_process_has_it_at_a_time(lock: ProcessLock, tmp_path: Path) -> None:
    other = ProcessLock(tmp_path / "ship.lock")
    assert lock.try_acquire()
    assert not other.try_acquire()
    assert other.holder() == f"another thread of this process ({os.getpid()})"
    other.close()
    assert not in_another_process(ProcessLock(tmp_path / "ship.lock").try_acquire)
    lock.close()
    assert other.try_acquire()
    other.close()


def test_a_lock_that_a_backup_gave_up_is_taken_again(lock: ProcessLock, tmp_path: Path) -> None:
    assert lock.try_acquire()
    (tmp_path / "ship.lock").read_bytes()  # closing any descriptor of the file gives a POSIX lock up
    assert lock.try_acquire()
    assert not in_another_process(ProcessLock(tmp_path / "ship.lock").try_acquire)


def test_a_file_that_was_removed_is_made_again(lock: ProcessLock, tmp_path: Path) -> None:
    assert lock.try_acquire()
    (tmp_path / "ship.lock").unlink()
    assert lock.try_acquire()
    assert not in_another_process(ProcessLock(tmp_path / "ship.lock").try_acquire)


def test_a_descriptor_that_the_application_has_now_is_left_alone(lock: ProcessLock, tmp_path: Path) -> None:
    assert lock.try_acquire()
    assert lock._file is not None
    number = lock._file.fd
    with (tmp_path / "of the application").open("wb") as file:
        os.dup2(file.fileno(), number)
        assert lock.try_acquire()
        lock.close()
        assert os.fstat(number).st_ino == os.fstat(file.fileno()).st_ino
        os.close(number)


def test_a_child_forked_while_another_thread_holds_the_lock_of_the_journal_can_record(tmp_path: Path) -> None:
    program = f"""
import os, sys
from whodid.integrity import Draft
from whodid.journal import Journal, JournalDirectory
from whodid.journal.lock import FileLock
journal = Journal({str(tmp_path)!r}, lock_timeout=2)
draft = Draft({{"type": "t", "target": "a", "creation_date": "2026-11-23T08:00:00Z"}})
journal.append(draft)
lock = FileLock(JournalDirectory({str(tmp_path)!r}).lock)
lock.acquire(1)  # as the thread that ships does for a moment
if os.fork() == 0:
    os._exit(journal.append(draft).seq != 2)
lock.close()
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
