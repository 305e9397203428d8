"""The guard: what nobody foresaw in one part of the shipper's work stops neither the other parts nor the shipper.

Each boundary turns what is foreign (a file, an answer) into an error of whodid's own, and who calls knows what to do
about that. Anything else is a fault of whodid itself, or of the application's own code that it calls: the guard alarms
once, lets that part rest, longer each time it fails again, and has it tried again for ever. What ends a program
(`KeyboardInterrupt`, `SystemExit`) is no `Exception`, and passes.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..errors import ShippingError, WhodidError
from ..journal import JournalDirectory

__all__ = ["Guard", "unforeseen"]

T = TypeVar("T")

_FIRST_REST, _LONGEST_REST = 1.0, 300.0
_MOST_TOLD = 100
"""Alarms of one shipper; whoever reads these knows enough."""


class Guard:
    """One for a shipper, shared by its threads. `tell` gets what a person should know; so do the directory's alarms."""

    def __init__(
        self,
        journal_dir: str | Path,
        tell: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal_dir = journal_dir
        self._tell = tell
        self._monotonic = monotonic
        self._failures: dict[str, int] = {}
        self._rests_until: dict[str, float] = {}
        self._told: set[str] = set()

    def __call__(self, part: str, work: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """What `work` returns; what `otherwise` does after a failure, and while the part rests."""
        if self._monotonic() < self._rests_until.get(part, 0.0):
            return otherwise()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (this is the one place for all that nobody foresaw)
            self._failed(part, error)
            return otherwise()
        self._failures.pop(part, None)
        return result

    def always(self, part: str, work: Callable[[], None]) -> None:
        """As a call, for what must not rest."""
        self._rests_until.pop(part, None)
        self(part, work, lambda: None)

    def why(self, part: str) -> str:
        """Why the part rests, in words; empty when it does not."""
        if part not in self._failures:
            return ""
        return f"{part} failed in a way that nobody foresaw, and is tried again: see `whodid status`"

    def _failed(self, part: str, error: Exception) -> None:
        failures = self._failures[part] = self._failures.get(part, 0) + 1
        self._rests_until[part] = self._monotonic() + min(_FIRST_REST * 2.0 ** min(failures - 1, 20), _LONGEST_REST)
        text = f"{part}: {error if isinstance(error, WhodidError) else unforeseen(error)}"
        if text in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(text)
        with suppress(Exception):  # there is no directory
            JournalDirectory(self._journal_dir).alarm("shipper", text)
        with suppress(Exception):  # a warning that is an error, a log that can't be written to
            self._tell(text)


def unforeseen(error: Exception) -> ShippingError:
    """An error of ours for one that nobody foresaw: it says where, and quotes nothing, which may be of an entry."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    ours = next((frame for frame in reversed(frames) if "whodid" in Path(frame.filename).parts), None)
    via = f" (from {Path(ours.filename).name}:{ours.lineno})" if ours and ours is not frames[-1] else ""
    return ShippingError(
        f"unforeseen {type(error).__name__}{place}{via}; nothing is lost, and it is tried again. Please report it"
    )
