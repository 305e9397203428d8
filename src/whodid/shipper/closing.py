"""The closing record: the last entry of a journal whose shipper was stopped when all of it was shipped.

A journal that ends with one may be silent without alarm. Nothing is closed for good: when somebody records again, the
chain goes on behind it.
"""

from __future__ import annotations

from ..errors import JournalDamaged, NotRecorded
from ..journal import Acknowledged, JournalDirectory, JournalReader, Line
from ..recording.own import record_own
from ..settings import Settings

__all__ = ["CLOSED", "close_journal"]

CLOSED = "audit_log_journal_closed"


def close_journal(settings: Settings) -> bool:
    """Records that the current journal is shipped up to here; whether there was anything to close."""
    directory = JournalDirectory(settings.journal_dir)
    journal = directory.current()
    if journal is None:
        return False
    shipped = Acknowledged.read(directory.journal(journal))
    if shipped.seq == 0 or _is_closed(directory, journal, shipped):
        return False
    try:
        record_own(
            settings,
            CLOSED,
            principal="system",
            target=journal,
            details={"shipped": shipped.seq, "hash": shipped.hash},
        )
    except (NotRecorded, JournalDamaged):
        return False  # a full or failing disk: the journal is as it was, and nothing is claimed
    return True


def _is_closed(directory: JournalDirectory, journal: str, shipped: Acknowledged) -> bool:
    """Whether the last entry is a closing record, so that another would say nothing new."""
    lines = JournalReader(directory.journal(journal), shipped.seq - 1).read()
    return any(
        isinstance(line, Line) and line.seq == shipped.seq and line.entry.get("type") == CLOSED for line in lines
    )
