"""The capture: for a while, whatever this process records goes to memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..catalog import Catalog
from ..integrations import equip_loggers
from ..recording.recorder import Recorder
from ..recording.runtime import recorders_from
from ..settings import Settings, load_settings
from .entries import AuditEntries
from .journal import MemoryJournal

__all__ = ["audit_entries"]


@contextmanager
def audit_entries() -> Iterator[AuditEntries]:
    """Keeps what this process records within the block, from any logger, thread or task, in memory.

    Nothing is on disk, and nothing is shipped. Settings and catalog are those of the application's
    `whodid.configure()`, called before or within the block, else those of the environment and the defaults. Afterwards
    the recorder before is back; the entries can still be read.

    Returns:
        A context manager that yields the entries.

    Raises:
        CatalogError: The catalog in force can't be used.

    Example:
        >>> with whodid.testing.audit_entries() as entries:
        ...     refund("2026-117", amount=30)
        >>> entries.assert_recorded(type="invoice_refunded", target="2026-117")
    """
    journal = MemoryJournal()
    made: list[Recorder] = []

    def make(settings: Settings, catalog: Catalog | None) -> Recorder:
        made.append(Recorder(replace(settings, ship=False), catalog=catalog, journal=journal))
        return made[-1]

    def catalog() -> Catalog:
        return (made[-1] if made else make(load_settings(), None)).catalog

    with recorders_from(make):
        equip_loggers()
        yield AuditEntries(journal, catalog)
