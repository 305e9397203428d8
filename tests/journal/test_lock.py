"""The lock among threads: nothing that has ended holds it, and only one frame at a time does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from whodid.errors import JournalLocked
from whodid.journal.lock import Hold, ThreadLock

DEADLINE = 30


class Interrupted(Exception):
    pass


def abandon(lock: ThreadLock) -> None:
    """As what a signal handler interrupts right after it took the lock."""
    Hold(lock).take()
    raise Interrupted


def is_free(lock: ThreadLock, seconds: float = DEADLINE) -> bool:
    hold = Hold(lock)
    try:
        return hold.take(seconds)
    finally:
        hold.give_back()


def elsewhere(work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_what_an_interrupted_frame_held_is_free_for_its_own_thread_and_for_others() -> None:
    lock = ThreadLock()
    for another in (is_free, lambda lock: elsewhere(lambda: is_free(lock))):
        with pytest.raises(Interrupted):
            abandon(lock)
        another(lock)
        assert is_free(lock)


def test_a_kept_traceback_does_not_keep_the_lock() -> None:
    lock = ThreadLock()
    try:
        abandon(lock)
    except Interrupted as error:
        kept = error
        assert is_free(lock)
    assert kept.__traceback__ is not None


def test_what_a_thread_held_that_ended_is_free() -> None:
    lock = ThreadLock()
    with pytest.raises(Interrupted):
        elsewhere(lambda: abandon(lock))
    assert is_free(lock)


def test_a_lock_that_was_given_back_but_for_the_last_step_is_free() -> None:
    lock = ThreadLock()
    lock.gate.acquire()
    assert is_free(lock)
    assert not lock.gate.locked()


def test_a_frame_that_runs_keeps_the_lock() -> None:
    lock = ThreadLock()
    with Hold(lock):
        elsewhere(lambda: _assert(not is_free(lock, 0.2)))
    assert is_free(lock)


def test_a_second_call_of_the_same_thread_is_an_error_at_once() -> None:
    lock = ThreadLock()
    with Hold(lock), pytest.raises(JournalLocked, match="signal handler"):
        Hold(lock).take(1)
    assert is_free(lock)


class Abandoned:
    """What holds the lock, as seen by one who looks whether it has ended while something else happens."""

    _thread = -1

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = [meanwhile]

    def _ended(self) -> bool:
        while self._meanwhile:
            self._meanwhile.pop()()
        return True


def test_a_lock_that_was_given_back_and_taken_while_somebody_looked_is_taken() -> None:
    lock, other = ThreadLock(), Hold(ThreadLock())
    other._thread = -2
    lock.state["holder"] = Abandoned(lambda: lock.state.update(holder=other))
    assert not is_free(lock, 0.2)


def test_of_two_that_find_a_lock_abandoned_one_gets_it() -> None:
    lock, other = ThreadLock(), Hold(ThreadLock())
    other._lock, other._state, other.at_once, other._thread = lock, lock.state, False, -2
    lock.state["holder"] = Abandoned(other.take)
    assert not is_free(lock, 0.2)
    other.give_back()
    assert is_free(lock)


def test_a_thread_that_the_end_of_the_process_has_stopped_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, held, done = ThreadLock(), threading.Event(), threading.Event()

    def work() -> None:
        with Hold(lock):
            held.set()
            done.wait(DEADLINE)

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(DEADLINE)
    monkeypatch.setattr("whodid.journal.lock.is_finalizing", lambda: True)
    with pytest.raises(JournalLocked, match="the process ends"):
        is_free(lock)
    done.set()
    thread.join(DEADLINE)
    assert is_free(lock)


def test_one_at_a_time_is_inside_also_while_some_are_interrupted() -> None:
    lock, inside, most = ThreadLock(), [0], [0]
    done = threading.Semaphore(0)

    def visit(luck: random.Random) -> None:
        hold = Hold(lock)
        hold.take()
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        done.release()
        inside[0] -= 1
        if luck.random() < 0.2:
            raise Interrupted
        hold.give_back()

    def work(seed: int) -> None:
        luck = random.Random(seed)
        for _ in range(100):
            with suppress(Interrupted):
                visit(luck)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert [thread.is_alive() for thread in threads] == [False] * 4
    assert most == [1]


def _assert(true: bool) -> None:
    assert true
