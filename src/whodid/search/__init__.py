"""The client: everything that is asked of the entries stored in OpenSearch.

`audit_client` has the methods, `asking` the requests behind them, `order` sorting and cursors, `reach` the partitions
that a question touches, `expiry` what is past its time, `stats` and `follow` what their names say.

The query: what is asked of the stored entries, as a text, as Python, and as OpenSearch wants it.

`grammar` is the table of the language, `value` one value in it, `filter` a text and what it means, `times` the moments
and periods in it, `pinned` the same for later, `body` what goes to OpenSearch, `completion` what may come next.
"""

from __future__ import annotations

from .body import query_body, window_of
from .client import AuditClient, Entry, Page, Where
from .filter import Filter, pinned
from .grammar import FILTERS
from .stats import Bar, Stats
from .value import Window, check_order, moment

__all__ = [
    "FILTERS",
    "AuditClient",
    "Bar",
    "Entry",
    "Filter",
    "Page",
    "Stats",
    "Where",
    "Window",
    "check_order",
    "moment",
    "pinned",
    "query_body",
    "window_of",
]
