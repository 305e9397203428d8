"""whodid: who did what, to what, when, from where, and can you prove it?

    import whodid, structlog

    whodid.configure(journal_dir="/var/lib/app/audit")
    log = structlog.get_logger()
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        receipt = log.audit("credentials_created", target="6Yk2", status="aws")

Most names are imported on first use, so that `import whodid` and the command line start fast.

PYTEST_DONT_REWRITE: otherwise pytest warns that it can't rewrite whodid's assertions if whodid is imported before it,
as in a `manage.py` that runs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .entry import Receipt
from .errors import (
    CatalogError,
    EntryTooLarge,
    InvalidEntry,
    JournalDamaged,
    JournalFull,
    JournalLocked,
    NotRecorded,
    OpenSearchError,
    QueryError,
    SettingsError,
    WhodidError,
)
from .recording.changes import changes
from .recording.context import bind, carried, context, system
from .resources import __version__ as __version__
from .resources import at_first_use

if TYPE_CHECKING:
    from .integrations import configure
    from .integrations.stdlib import AuditHandler, AuditJsonFormatter, AuditLogger, get_logger
    from .integrations.structlog import AuditMixin, AuditProcessor, audited
    from .search import AuditClient
    from .settings import Settings

__all__ = [
    "AuditClient",
    "AuditHandler",
    "AuditJsonFormatter",
    "AuditLogger",
    "AuditMixin",
    "AuditProcessor",
    "CatalogError",
    "EntryTooLarge",
    "InvalidEntry",
    "JournalDamaged",
    "JournalFull",
    "JournalLocked",
    "NotRecorded",
    "OpenSearchError",
    "QueryError",
    "Receipt",
    "Settings",
    "SettingsError",
    "WhodidError",
    "audited",
    "bind",
    "carried",
    "changes",
    "configure",
    "context",
    "get_logger",
    "system",
]

__getattr__ = at_first_use(
    __name__,
    {
        "AuditClient": ".search.client",
        "AuditHandler": ".integrations.stdlib",
        "AuditJsonFormatter": ".integrations.stdlib",
        "AuditLogger": ".integrations.stdlib",
        "AuditMixin": ".integrations.structlog",
        "AuditProcessor": ".integrations.structlog",
        "Settings": ".settings",
        "audited": ".integrations.structlog",
        "configure": ".integrations",
        "get_logger": ".integrations.stdlib",
    },
)
"""`configure` and `get_logger` import what records, before anything can be recorded."""
