"""The thread pool that records for asynchronous callers, separate from the application's pools.

- Each call is recorded. Work is submitted at the call, with the contextvars of the call. If the task is cancelled or
  the loop is closed, the result is lost, but the entry is recorded.
- The application can't exhaust these threads. They are daemons, so they delay neither the shutdown of a loop nor that
  of the interpreter, which waits for submitted work at exit. Work submitted later runs in the calling thread.
- Threads start on demand. Up to `THREADS` calls wait for the disk at once and share one sync.
- Nothing is shared with a forked child, even if Python did not notice the fork. No lock is held while work is
  submitted, so a signal handler may submit work too.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
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
        recording.error = error
        recording.set_exception(error)
    else:
        recording.set_result(result)
    finally:
        del recording, work


class _Threads:
    """Up to `THREADS` threads of this process and their work; `SimpleQueue` in C holds no lock across a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._startable: SimpleQueue[None] = SimpleQueue()
        for _ in range(THREADS):
            self._startable.put(None)
        self._members: set[int] = set()
        self._unfinished: set[Future[Any]] = set()
        with suppress(AttributeError, RuntimeError):  # a child of multiprocessing does not run the handlers of atexit
            threading._register_atexit(self.finish)  # type: ignore[attr-defined] # as concurrent.futures does
        atexit.register(self.finish)

    def submit(self, recording: Future[Any], work: Callable[[], None]) -> None:
        waits_for_itself = threading.get_ident() in self._members  # waiting for the own pool could deadlock
        if _at_end or waits_for_itself or forks_unseen():
            work()
            return
        self._unfinished.add(recording)
        recording.add_done_callback(self._unfinished.discard)
        self._work.put(work)
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
            self._do_here()

    def _serve(self) -> None:
        self._members.add(threading.get_ident())
        while True:
            try:
                work = self._work.get_nowait()
            except Empty:
                self._idle.put(None)
                work = self._work.get()
            work()
            del work

    def _do_here(self) -> None:
        with suppress(Empty):
            while True:
                self._work.get_nowait()()

    def finish(self) -> None:
        """Waits for submitted work; returns at once in a forked child."""
        if self.pid == os.getpid():
            self._do_here()
            wait(tuple(self._unfinished))


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
