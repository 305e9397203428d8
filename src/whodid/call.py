"""One call to `audit()`, on its way through an application's own logging chain.

`audit` is not a level, and nothing in that chain may swallow an entry. The call travels down the chain; whodid's
processor or handler records it there; and when the chain ends without that, the call records itself and says once what
swallowed it. So a call returns a receipt or raises: never neither.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .errors import WhodidError
from .receipt import Receipt

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["AuditCall"]


class AuditCall:
    """What is to be recorded, and the receipt once it has been."""

    def __init__(
        self,
        recorder: Recorder,
        event_type: str,
        fields: Mapping[str, object],
        bound: Mapping[str, object] = {},
    ) -> None:
        self.event_type = event_type
        self.receipt: Receipt | None = None
        self.line = b""
        self._recorder = recorder
        self._fields = fields
        self._bound = bound
        self._lock = threading.Lock()

    def record(self) -> Receipt:
        """Records the entry, once however often it is called. Raises `WhodidError`."""
        with self._lock:
            if self.receipt is None:
                self.receipt, self.line = self._recorder.record(self.event_type, self._fields, self._bound)
            return self.receipt

    def through(self, chain: Callable[[], object], *, records: bool, chain_name: str) -> Receipt:
        """Sends the call down an application's chain and returns its receipt.

        `records` says that whodid's processor or handler is in the chain, and so is expected to record; otherwise the
        entry is recorded before the chain sees it. Whatever else goes wrong in the chain costs the ordinary log line,
        not the entry.
        """
        if not records:
            self.record()
        if self._send(chain, chain_name) and self.receipt is None:
            _warn_once(f"{chain_name} swallowed an audit call (a level, a filter or an earlier processor)")
        return self.record()

    def _send(self, chain: Callable[[], object], chain_name: str) -> bool:
        """Whether the chain came to its end."""
        try:
            chain()
        except WhodidError:
            raise
        except Exception as error:  # noqa: BLE001 (an application's processor may raise anything)
            _warn_once(f"{chain_name} failed on an audit call with {type(error).__name__}")
            return False
        return True

    def echo(self) -> dict[str, object]:
        """What the ordinary log line says besides the event type: never a personal field."""
        echo = {"target": self._fields.get("target") or self._bound.get("target")}
        if self.receipt is not None:
            echo["entry_id"] = self.receipt.entry_id
        return echo

    def __str__(self) -> str:
        """The ordinary log line's message."""
        echo = " ".join(f"{name}={value}" for name, value in self.echo().items() if value)
        return f"{self.event_type} {echo}"

    def __repr__(self) -> str:
        return f"AuditCall({self.event_type!r}, recorded={self.receipt is not None})"


_warned: set[str] = set()


def _warn_once(what: str) -> None:
    if what not in _warned:
        _warned.add(what)
        warnings.warn(f"{what}; whodid recorded the entry all the same", RuntimeWarning, stacklevel=5)
