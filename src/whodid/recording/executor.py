"""The thread pool that records for asynchronous callers, separate from the application's pools.

- Each call is recorded. Work is submitted at the call, with the contextvars of the call. If the task is cancelled or
  the loop is closed, the result is lost, but the entry is recorded.
- The application can't exhaust these threads. They are daemons, so they delay neither the shutdown of a loop nor that
  of the interpreter, which waits for submitted work at exit. Work submitted later runs in the calling thread.
- Threads start on demand. Up to `THREADS` calls wait for the disk at once and share one sync.
- Nothing is shared with a forked child, even if Python did not notice the fork. No lock is held while work is
  submitted, so a signal handler may submit work too. One that raises amid that leaves work that is done later, or an
  error for who awaits it, and nothing that is waited for in vain.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..process import forks_unseen, warn

__all__ = ["hand_over", "off_loop", "outcome", "to_be_awaited"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

THREADS = 32

_PAUSE = 0.001
"""Seconds between looks at whether a thread has finished its work, at exit."""


def off_loop(work: Callable[[], T]) -> Coroutine[Any, Any, T]:
    """Submits `work` at once; returns a coroutine for its result."""
    return outcome(hand_over(work))


def hand_over(work: Callable[[], T]) -> Recording[T]:
    """Submits `work` to the thread pool, with a copy of the current contextvars."""
    recording: Recording[T] = Recording()
    _threads().submit(recording, partial(_run, recording, copy_context(), work))
    return recording


async def outcome(recording: Recording[T]) -> T:
    """Awaits the result. Cancelling the task does not cancel the work."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def answer() -> None:
        if not done.done():
            done.set_result(None)

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(answer)

    try:
        recording.add_done_callback(wake)
        await done
        recording.answered = True
        return recording.result()
    finally:
        del recording  # else the error and this frame refer to each other


class Recording(Future[T]):
    """The future of submitted work. Warns if the work failed and its result was never awaited."""

    answered = False
    error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # as in `_run`
            self.set_exception(error)
            self.error = error

    def __del__(self) -> None:
        if self.error is not None and not self.answered:
            warn(f"an audit call that was not awaited failed: {self.error}", RuntimeWarning, stacklevel=2)


def to_be_awaited(function: F) -> F:
    """Marks a function that returns a coroutine, for frameworks that check how to call it."""
    if sys.version_info >= (3, 12):
        import inspect

        return inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined] # checked by asyncio
    return function


def _run(recording: Recording[T], context: Context, work: Callable[[], T]) -> None:
    try:
        result = context.run(work)
    except BaseException as error:  # noqa: BLE001 (it is raised where the result is awaited)
        recording.fail(error)
    else:
        with suppress(InvalidStateError):  # a signal handler cut a thread off that was about to do the same work
            recording.set_result(result)
    finally:
        del recording, work


class _Threads:
    """Up to `THREADS` threads of this process and their work; `SimpleQueue` in C holds no lock across a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._todo: dict[Recording[Any], Callable[[], None]] = {}
        """What nobody has taken yet, in order; to put it there and to take it is one step each."""
        self._busy: dict[int, Recording[Any]] = {}
        """By thread, what it is about to take, or does."""
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._startable: SimpleQueue[None] = SimpleQueue()
        for _ in range(THREADS):
            self._startable.put(None)
        self._members: set[int] = set()
        with suppress(AttributeError, RuntimeError):  # a child of multiprocessing does not run the handlers of atexit
            threading._register_atexit(self.finish)  # type: ignore[attr-defined] # as concurrent.futures does
        atexit.register(self.finish)

    def submit(self, recording: Recording[Any], work: Callable[[], None]) -> None:
        waits_for_itself = threading.get_ident() in self._members  # waiting for the own pool could deadlock
        if _at_end or waits_for_itself or forks_unseen():
            work()
            return
        self._todo[recording] = work  # from here on `finish` does it if nobody else comes to it
        self._calls.put(None)
        with suppress(Empty):
            self._idle.get_nowait()
            return
        with suppress(Empty):
            self._startable.get_nowait()
            self._start()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name="whodid-record", daemon=True).start()
        except RuntimeError:  # too many threads, or the interpreter is shutting down
            self._startable.put(None)
            self._do()

    def _serve(self) -> None:
        self._members.add(threading.get_ident())
        while True:
            try:
                self._calls.get_nowait()
            except Empty:
                self._idle.put(None)
                self._calls.get()
            self._do()

    def _do(self) -> None:
        """Does in this thread what nobody has taken."""
        for _ in map(self._take, tuple(self._todo)):
            pass

    def _take(self, recording: Recording[Any]) -> None:
        work = None
        try:
            self._busy[threading.get_ident()] = recording
            work = self._todo.pop(recording, None)
            if work is not None:
                work()
        except BaseException as error:  # of a signal handler, amid the steps above
            if recording not in self._todo:
                recording.fail(error)  # else who awaits it would do so for ever
            raise
        finally:
            self._busy.pop(threading.get_ident(), None)
            del recording, work  # as in `outcome`

    def finish(self) -> None:
        """Does what nobody has taken, and waits for what other threads do; returns at once in a forked child."""
        if self.pid == os.getpid():
            self._do()
            for thread, recording in tuple(self._busy.items()):
                while self._busy.get(thread) is recording and thread != threading.get_ident():
                    time.sleep(_PAUSE)


_started: list[_Threads] = []
_at_end = False


def _threads() -> _Threads:
    """The pool of this process. Two concurrent callers may start two pools; both are used and waited for."""
    if not _started or _started[-1].pid != os.getpid():
        _started.append(_Threads())
    return _started[-1]


@atexit.register
def _end() -> None:
    """Waits for all work; runs after handlers of the application that were registered later."""
    global _at_end
    _at_end = True
    for threads in _started:
        threads.finish()
