"""The standstill: the journal directory of this host, while no shipper may be active there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import WhodidError
from ..settings import Settings

if TYPE_CHECKING:
    from ..journal import JournalDirectory

__all__ = ["standstill"]


@contextmanager
def standstill(settings: Settings, why: str) -> Iterator[JournalDirectory]:
    """Holds the lock of the one active shipper. Raises `WhodidError` where one runs; `why` it has to be stopped."""
    from ..journal import JournalDirectory
    from ..journal.lock import ProcessLock

    directory = JournalDirectory(settings.journal_dir, create=True)
    lock = ProcessLock(directory.ship_lock)
    if not lock.try_acquire():
        raise WhodidError(f"{directory.path} is being shipped by {lock.holder()}: stop that until this is done, {why}")
    try:
        yield directory
    finally:
        lock.close()
