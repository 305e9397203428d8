"""The group commit: threads that wait for the disk at once share one write and one sync.

The first to come leads: it writes what has come so far, syncs, and wakes those whose entries that covered. Who comes
meanwhile waits; the longest waiting of them leads next. So one sync is under way at a time, and its cost is divided
among all who wait.

Invariants: while anyone waits, someone leads or has been told to. Each waiting thread is woken exactly once, with its
outcome or with the lead. A leader that is interrupted (Ctrl-C) still wakes its group and passes the lead on; a waiting
thread that is interrupted steps out, and passes on a lead that it was just given. Both may be done twice unharmed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..errors import JournalLocked, NotRecorded

__all__ = ["GroupCommit"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class _Waiting(Generic[Item, Outcome]):
    """One thread's item, its outcome once there is one, and what wakes the thread."""

    __slots__ = ("group", "item", "leads", "outcome", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.group: tuple[_Waiting[Item, Outcome], ...] = ()
        self.outcome: Outcome | Exception | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit(Generic[Item, Outcome]):
    """Gives each item to `write`, together with those that came meanwhile, and then the outcomes to `sync`.

    `write` returns an outcome or an exception for each. `sync` gets the outcomes before any thread is woken; it raises
    nothing, as each thread asks for its own sync afterwards, and then learns what went wrong.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Outcome | Exception]],
        sync: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._write = write
        self._sync = sync
        self._mutex = threading.Lock()
        self._queue: deque[_Waiting[Item, Outcome]] = deque()
        self._led = False
        self._present: set[int] = set()

    def submit(self, item: Item) -> Outcome:
        """The outcome for `item`, once it is written and a sync was tried. Raises what `write` says of it."""
        thread = threading.get_ident()
        if thread in self._present:
            raise JournalLocked(
                "audit() was called while this very thread was recording, from a signal handler or a finalizer; "
                "nothing was recorded. Let the handler set a flag, and record from the main line of the program"
            )
        self._present.add(thread)
        try:
            return self._through(_Waiting(item))
        finally:
            self._present.discard(thread)

    def _through(self, mine: _Waiting[Item, Outcome]) -> Outcome:
        try:
            with self._mutex:
                self._queue.append(mine)
                mine.leads = not self._led
                self._led = True
            if not mine.leads:
                mine.wake.acquire()
            if mine.outcome is None:
                self._lead(mine)
        except BaseException:
            self._step_out(mine)
            raise
        if isinstance(mine.outcome, Exception):
            raise _again(mine.outcome)
        if mine.outcome is None:
            raise NotRecorded("the group commit ended without an outcome; the entry is not known to be recorded")
        return mine.outcome

    def _lead(self, mine: _Waiting[Item, Outcome]) -> None:
        with self._mutex:
            mine.group = tuple(self._queue)
            self._queue.clear()
        self._serve(mine.group)
        self._step_out(mine)

    def _step_out(self, mine: _Waiting[Item, Outcome]) -> None:
        """Passes the lead on, if this thread has it, and wakes its group."""
        with self._mutex:
            if mine in self._queue:
                self._queue.remove(mine)
            if mine.leads:
                self._pass_on()
                mine.leads = False
        for waiting in mine.group:
            if waiting.outcome is None:
                waiting.outcome = NotRecorded(
                    "the thread that wrote for several was interrupted: the entry is not known to be recorded"
                )
            if waiting.wake.locked():
                waiting.wake.release()
        mine.group = ()  # which holds this very thread's: a cycle would keep descriptors open until a collection

    def _serve(self, group: Sequence[_Waiting[Item, Outcome]]) -> None:
        outcomes = self._write([waiting.item for waiting in group])
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome = outcome
        self._sync([outcome for outcome in outcomes if not isinstance(outcome, Exception)])

    def _pass_on(self) -> None:
        """To the longest waiting, if anyone waits. The mutex is held."""
        self._led = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            if self._queue[0].wake.locked():
                self._queue[0].wake.release()


def _again(error: Exception) -> Exception:
    """The same error for each thread of a group: a raised one belongs to its traceback."""
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again
