"""The guard runs a part of the shipper's work and, after an unexpected failure, raises an alarm and retries that part.

Expected failures (a file, an answer) are turned into errors of whodid's own where they occur, and the caller handles
them. Anything else is a bug in whodid, or in code of the application that it calls: the guard raises one alarm, pauses
that part, longer after each failure, and retries it for as long as the shipper runs. `KeyboardInterrupt` and
`SystemExit` are no `Exception` and pass through.
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

__all__ = ["Guard", "unexpected"]

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_MOST_REPORTED = 100
"""The maximum number of alarms that one shipper raises."""


class Guard:
    """One guard for a shipper, shared by its threads. Faults are passed to `notify` and to the directory's alarms."""

    def __init__(
        self,
        journal_dir: str | Path,
        notify: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal_dir = journal_dir
        self._notify = notify
        self._monotonic = monotonic
        self._failures: dict[str, int] = {}
        self._paused_until: dict[str, float] = {}
        self._reported: set[str] = set()

    def __call__(self, part: str, work: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """Returns what `work` returns; after a failure, and while the part is paused, what `otherwise` returns."""
        if self._monotonic() < self._paused_until.get(part, 0.0):
            return otherwise()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (this is the one place that handles unexpected errors)
            self._failed(part, error)
            return otherwise()
        self._failures.pop(part, None)
        return result

    def always(self, part: str, work: Callable[[], None]) -> None:
        """Does the work as a call does, but never pauses the part."""
        self._paused_until.pop(part, None)
        self(part, work, lambda: None)

    def why(self, part: str) -> str:
        """Why the part is paused, in words; empty when it is not."""
        return f"{part} failed unexpectedly and is retried: see `whodid status`" if part in self._failures else ""

    def _failed(self, part: str, error: Exception) -> None:
        failures = self._failures[part] = self._failures.get(part, 0) + 1
        self._paused_until[part] = self._monotonic() + min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 20), _LONGEST_PAUSE)
        text = f"{part}: {error if isinstance(error, WhodidError) else unexpected(error)}"
        if text in self._reported or len(self._reported) >= _MOST_REPORTED:
            return
        self._reported.add(text)
        with suppress(Exception):  # the directory may be missing
            JournalDirectory(self._journal_dir).alarm("shipper", text)
        with suppress(Exception):  # warnings may be errors, and the log may not be writable
            self._notify(text)


def unexpected(error: Exception) -> ShippingError:
    """An error of whodid for an unexpected one: it says where it was raised, and quotes nothing of an entry."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    ours = next((frame for frame in reversed(frames) if "whodid" in Path(frame.filename).parts), None)
    via = f" (from {Path(ours.filename).name}:{ours.lineno})" if ours and ours is not frames[-1] else ""
    return ShippingError(
        f"unexpected {type(error).__name__}{place}{via}; no entry is lost, and whodid retries. Please report this bug"
    )
