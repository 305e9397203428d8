"""The group commit: threads that wait for the disk at once share one write, and ask for one sync.

One thread leads: it writes what has come so far, syncs, and wakes those whose entries that covered. Who comes meanwhile
waits; the longest waiting of them leads next. The durable mark (`whodid.journal.durable`) shares the sync with other
processes, and with threads that come another way.

Invariants: leading is holding a lock, and nothing that has ended holds it. Who waits looks again at times, so waking is
never needed, only quick; and leads when nobody does. An item is marked before it is given to `write`: one that is
marked and has no outcome when its thread leads was with a leader that was interrupted (Ctrl-C), and isn't known to be
written. It is never written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ..errors import NotRecorded
from .lock import LOOK_AGAIN, Hold, ThreadLock

__all__ = ["GroupCommit"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class _Waiting(Generic[Item, Outcome]):
    """One thread's item, its outcome once there is one, and what wakes the thread."""

    __slots__ = ("begun", "item", "outcome", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.begun = False
        self.outcome: Outcome | Exception | None = None
        self.wake: SimpleQueue[None] = SimpleQueue()


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
        self._leading = ThreadLock()
        self._queue: dict[_Waiting[Item, Outcome], None] = {}
        """In order. Each change is one step, which no signal divides."""

    def submit(self, item: Item) -> Outcome:
        """The outcome for `item`, once it is written and a sync was tried. Raises what `write` says of it.

        Raises `JournalLocked` inside a call of the same thread that leads, which would wait for itself, and when the
        end of the process has stopped the thread that leads.
        """
        mine: _Waiting[Item, Outcome] = _Waiting(item)
        try:
            self._queue[mine] = None
            while mine.outcome is None:
                if self._leading.gate.locked():  # whoever leads looks for those who wait after opening it
                    with suppress(Empty):
                        mine.wake.get(timeout=LOOK_AGAIN)
                if mine.outcome is None:
                    self._lead(mine)
        finally:
            self._queue.pop(mine, None)
        if isinstance(mine.outcome, Exception):
            raise _again(mine.outcome)
        return mine.outcome

    def _lead(self, mine: _Waiting[Item, Outcome]) -> None:
        """Serves all who wait, `mine` among them, unless another thread does so."""
        hold = Hold(self._leading)
        led = False
        try:
            led = hold.take(0)
            if not led:
                return
            if mine.begun and mine.outcome is None:
                mine.outcome = NotRecorded(
                    "the thread that wrote for several was interrupted: the entry is not known to be recorded"
                )
            elif mine.outcome is None:
                self._serve(self._next_group())
        finally:
            hold.give_back()
            if led:
                self._wake_next()

    def _next_group(self) -> list[_Waiting[Item, Outcome]]:
        group = [waiting for waiting in tuple(self._queue) if not waiting.begun]
        for waiting in group:
            waiting.begun = True
            self._queue.pop(waiting, None)
        return group

    def _serve(self, group: Sequence[_Waiting[Item, Outcome]]) -> None:
        try:
            outcomes = self._write([waiting.item for waiting in group])
            self._sync([outcome for outcome in outcomes if not isinstance(outcome, Exception)])
            for waiting, outcome in zip(group, outcomes, strict=True):
                waiting.outcome = outcome
        finally:
            for waiting in group:
                waiting.wake.put(None)

    def _wake_next(self) -> None:
        """Has the longest waiting lead."""
        for waiting in tuple(self._queue)[:1]:
            waiting.wake.put(None)


def _again(error: Exception) -> Exception:
    """The same error for each thread of a group: a raised one belongs to its traceback."""
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again
