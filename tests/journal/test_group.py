"""The group commit: who is served together, and that an interruption leaves nobody waiting."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from whodid.errors import JournalFull, JournalLocked, NotRecorded
from whodid.journal.group import GroupCommit

DEADLINE = 30


class Disk:
    """A disk whose sync waits until it is let go; notes what was written and synced together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.syncing = threading.Event()
        self.go = threading.Event()
        self.commit: GroupCommit[str, str] = GroupCommit(self.write, self.sync)

    def write(self, items: Sequence[str]) -> list[str | Exception]:
        self.groups.append(list(items))
        return [JournalFull("full") if item == "large" else item.upper() for item in items]

    def sync(self, _outcomes: Sequence[str]) -> None:
        self.syncing.set()
        assert self.go.wait(DEADLINE)


class Caller(threading.Thread):
    """Submits one item, and keeps what came of it."""

    def __init__(self, disk: Disk, item: str) -> None:
        super().__init__(daemon=True)  # one that waits for ever fails its test, and doesn't hang the rest
        self.came: object = None
        self._disk = disk
        self._item = item
        self.start()

    def run(self) -> None:
        try:
            self.came = self._disk.commit.submit(self._item)
        except BaseException as error:  # noqa: BLE001 (looked at by the test)
            self.came = error

    def outcome(self) -> object:
        """What came of it, within the deadline."""
        self.join(DEADLINE)
        assert not self.is_alive(), "waits for ever"
        return self.came

    def interrupt(self) -> None:
        """What Ctrl-C does to the main thread."""
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(KeyboardInterrupt))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def queued(disk: Disk) -> int:
    return len(disk.commit._queue)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_who_comes_during_a_sync_is_served_by_the_next(disk: Disk) -> None:
    first = Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    others = []
    for number, item in enumerate("bcd", 1):
        others.append(Caller(disk, item))
        until(lambda expected=number: queued(disk) == expected)  # type: ignore[misc]
    disk.go.set()
    assert [caller.outcome() for caller in (first, *others)] == ["A", "B", "C", "D"]
    assert disk.groups == [["a"], ["b", "c", "d"]]


def test_one_that_fails_in_a_group_leaves_the_others_alone(disk: Disk) -> None:
    Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    others = [Caller(disk, item) for item in ("b", "large", "c")]
    until(lambda: queued(disk) == 3)
    disk.go.set()
    assert [type(caller.outcome()) for caller in others] == [str, JournalFull, str]


def test_an_interrupted_leader_wakes_its_group_and_passes_the_lead_on(disk: Disk) -> None:
    leader = Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    waiting = Caller(disk, "b")
    until(lambda: queued(disk) == 1)
    leader.interrupt()
    disk.go.set()
    assert isinstance(leader.outcome(), KeyboardInterrupt)
    assert waiting.outcome() == "B"
    assert Caller(disk, "c").outcome() == "C"


def test_an_interrupted_write_is_an_error_for_the_whole_group_and_never_a_hang(disk: Disk) -> None:
    def interrupted(items: Sequence[str]) -> list[str | Exception]:
        raise KeyboardInterrupt

    first = Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    others = [Caller(disk, item) for item in "bc"]
    until(lambda: queued(disk) == 2)
    disk.commit._write = interrupted
    disk.go.set()
    assert first.outcome() == "A"
    assert {type(caller.outcome()) for caller in others} == {KeyboardInterrupt, NotRecorded}
    disk.commit._write = disk.write
    assert Caller(disk, "d").outcome() == "D"


def test_an_interrupted_leader_that_wakes_nobody_leaves_nobody_waiting(disk: Disk) -> None:
    """As when a second signal comes while the first is dealt with."""

    def cut_off(_waiting: object) -> None:
        raise KeyboardInterrupt

    leader = Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    waiting = Caller(disk, "b")
    until(lambda: queued(disk) == 1)
    wake_next = disk.commit._wake_next
    disk.commit._wake_next = lambda: cut_off(None)  # type: ignore[method-assign]
    disk.go.set()
    assert isinstance(leader.outcome(), KeyboardInterrupt)
    disk.commit._wake_next = wake_next  # type: ignore[method-assign]
    assert waiting.outcome() == "B"


def test_an_interrupted_follower_steps_out_and_is_not_written(disk: Disk) -> None:
    leader = Caller(disk, "a")
    assert disk.syncing.wait(DEADLINE)
    others = [Caller(disk, item) for item in "bc"]
    until(lambda: queued(disk) == 2)
    others[0].interrupt()
    assert isinstance(others[0].outcome(), KeyboardInterrupt)
    disk.go.set()
    assert [leader.outcome(), others[1].outcome()] == ["A", "C"]
    assert disk.groups == [["a"], ["c"]]


def test_a_call_from_a_signal_handler_that_interrupted_a_call_is_an_error_and_never_a_hang(disk: Disk) -> None:
    def write(items: Sequence[str]) -> list[str | Exception]:
        with pytest.raises(JournalLocked, match="signal handler"):
            disk.commit.submit("from the handler")
        return list(items)

    disk.go.set()
    disk.commit._write = write
    assert Caller(disk, "a").outcome() == "a"
