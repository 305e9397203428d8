"""One call to `audit()`, on its way through an application's own logging chain.

`audit` is not a level, and nothing in that chain may swallow an entry. The call travels down the chain; whodid's
processor or handler records it there; and when the chain ends without that, the call records itself and says once what
swallowed it. So a call returns a receipt or raises: never neither.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..entry import Receipt
from ..errors import WhodidError
from ..process import pass_on, warn
from ..text import one_line

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["AuditCall", "Message"]


class AuditCall:
    """What is to be recorded, and the receipt once it has been."""

    receipt: Receipt | None = None
    line = b""
    _cut_off: BaseException | None = None
    _failure: WhodidError | None = None

    def __init__(
        self,
        recorder: Recorder,
        event_type: str,
        fields: Mapping[str, object],
        bound: Mapping[str, object] = {},
    ) -> None:
        self.event_type = event_type
        self._recorder = recorder
        self._fields = fields
        self._bound = bound
        self._lock = threading.RLock()

    def record(self) -> Receipt:
        """Records the entry, once however often it is called. Raises `WhodidError`.

        An attempt that a signal handler cut off may have recorded the entry: there is no other one, and what the
        handler raised is raised again.
        """
        with self._lock:
            if self._cut_off is not None:
                raise self._cut_off
            if self.receipt is None:
                try:
                    self.receipt, self.line = self._recorder.record(self.event_type, self._fields, self._bound)
                except WhodidError as error:
                    self._failure = error
                    raise
                except BaseException as error:
                    self._cut_off = error
                    raise
            return self.receipt

    def through(self, chain: Callable[[], object], *, records: bool, chain_name: str) -> Receipt:
        """Sends the call down an application's chain and returns its receipt.

        `records` says that whodid's processor or handler is in the chain, and so is expected to record; otherwise the
        entry is recorded before the chain sees it. Whatever else goes wrong in the chain costs the ordinary log line,
        not the entry. A call made within the chain of another, by a handler that audits what it sees, is recorded and
        has no line, which that handler would see.
        """
        if _here.in_a_chain:
            return self.record()
        if not records:
            self.record()
        ended = self._send(chain, chain_name)
        if self.receipt is not None:
            return self.receipt
        if ended:
            _warn_once(f"{chain_name} swallowed an audit call (a level, a filter or an earlier processor)")
        return self.record()

    def _send(self, chain: Callable[[], object], chain_name: str) -> bool:
        """Whether the chain came to its end."""
        try:
            _here.in_a_chain = True
            chain()
        except Exception as error:
            if error is self._failure or error is self._cut_off:
                raise
            pass_on(error)
            _warn_once(f"{chain_name} failed on an audit call with {type(error).__name__}")
            return False
        finally:
            _here.in_a_chain = False
        return True

    def echo(self) -> dict[str, object]:
        """What the ordinary log line says besides the event type, each on one line: never a personal field."""
        target = self._target()
        echo: dict[str, object] = {"target": None if target is None else one_line(target)}
        if self.receipt is not None:
            echo["entry_id"] = self.receipt.entry_id
        return echo

    def _target(self) -> object:
        target = self._fields.get("target")
        return self._bound.get("target") if target is None else target

    @property
    def event(self) -> str:
        """The event type, as the ordinary log line has it."""
        return one_line(self.event_type)

    def message(self) -> Message:
        """The ordinary log line's message."""
        target = self._target()
        said = self.event if target is None else f"{self.event} target={one_line(target, quoted=True)}"
        return Message(said, self).complete()

    def __repr__(self) -> str:
        return f"AuditCall({self.event!r}, recorded={self.receipt is not None})"


class Message(str):
    """The message of an ordinary log line: plain text to everyone but whodid, which finds the call in it.

    A pickle of it, or a deep copy, is the text alone.
    """

    __slots__ = ("call",)
    call: AuditCall

    def __new__(cls, text: str, call: AuditCall) -> Message:
        message = super().__new__(cls, text)
        message.call = call
        return message

    def complete(self) -> Message:
        """The same with the entry's ID, once there is an entry."""
        receipt = self.call.receipt
        said = f"entry_id={receipt.entry_id}" if receipt else ""
        return self if said in self else Message(f"{self} {said}", self.call)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class _Here(threading.local):
    in_a_chain = False


_here = _Here()


_warned: set[str] = set()


def _warn_once(what: str) -> None:
    if what not in _warned:
        _warned.add(what)
        warn(f"{what}; whodid recorded the entry all the same", RuntimeWarning, stacklevel=5)
