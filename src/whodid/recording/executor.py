"""The executor: the threads in which whodid records for asynchronous callers, apart from the application's own.

- What was called is recorded. Work is handed over at the call, with the contextvars of the call. A task that is
  cancelled and a loop that is closed give up the answer, not the entry.
- Nothing of the application can fill these threads, and they hold up neither a loop's shutdown nor the interpreter's:
  they are daemons. At its exit the interpreter waits for what was handed over; later, work is done where it is called.
- Threads start when they are needed. Up to `THREADS` calls wait for the disk at once, and share one sync.
- Nothing is shared with a forked child, whether Python saw the fork or not. No lock is held while work is handed over,
  so a signal handler may do it too.
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
    """Hands `work` over at once; returns what to await for its result."""
    return outcome(hand_over(work))


def hand_over(work: Callable[[], T]) -> Recording[T]:
    """Starts `work` in a thread of whodid's, in a copy of the contextvars of here."""
    recording: Recording[T] = Recording()
    _threads().submit(recording, partial(_run, recording, copy_context(), work))
    return recording


async def outcome(recording: Recording[T]) -> T:
    """The result, awaited. Cancelling the task ends the waiting alone."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def answer() -> None:
        if not done.done():
            done.set_result(None)

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(answer)

    try:
        recording.add_done_callback(wake)
        await done
        recording.answered = True
        return recording.result()
    finally:
        del recording  # an error holds this frame; the frame must not hold the error


class Recording(Future[T]):
    """What becomes of work that was handed over. Warns if the work failed and nobody can be told any more."""

    answered = False
    error: BaseException | None = None

    def __del__(self) -> None:
        if self.error is not None and not self.answered:
            warn(f"an audit call that nobody waited for failed: {self.error}", RuntimeWarning, stacklevel=2)


def to_be_awaited(function: F) -> F:
    """Marks a function that returns a coroutine, for frameworks that ask how to call it."""
    if sys.version_info >= (3, 12):
        import inspect

        return inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined] # what asyncio looks for
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
    """Up to `THREADS` threads of this process, and what they have to do. Only C's queues: no lock to be left behind."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._startable: SimpleQueue[None] = SimpleQueue()
        for _ in range(THREADS):
            self._startable.put(None)
        self._members: set[int] = set()
        self._unfinished: set[Future[Any]] = set()
        with suppress(AttributeError, RuntimeError):  # a child of multiprocessing runs these, and not those of atexit
            threading._register_atexit(self.finish)  # type: ignore[attr-defined] # as concurrent.futures does
        atexit.register(self.finish)

    def submit(self, recording: Future[Any], work: Callable[[], None]) -> None:
        waits_for_itself = threading.get_ident() in self._members  # a member waiting for others could wait for ever
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
        """Waits for what was handed over; in a forked child there is nothing, whatever the parent had."""
        if self.pid == os.getpid():
            self._do_here()
            wait(tuple(self._unfinished))


_started: list[_Threads] = []
_at_end = False


def _threads() -> _Threads:
    """Those of this process. Two callers may both start them: then both are used, and waited for at the exit."""
    if not _started or _started[-1].pid != os.getpid():
        _started.append(_Threads())
    return _started[-1]


@atexit.register
def _end() -> None:
    """Runs after the handlers that an application registered since the import, whose calls it waits for as well."""
    global _at_end
    _at_end = True
    for threads in _started:
        threads.finish()
