"""The client: everything that is asked of the entries stored in OpenSearch.

`audit_client` has the methods, `asking` the requests behind them, `order` sorting and cursors, `reach` the partitions
that a question touches, `expiry` what is past its time, `stats` and `follow` what their names say.
"""

from __future__ import annotations

from .audit_client import AuditClient, Entry, Page, Where
from .stats import Bar, Stats

__all__ = ["AuditClient", "Bar", "Entry", "Page", "Stats", "Where"]
