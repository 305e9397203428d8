"""Search: the query language, and the client that finds, counts and gets entries in OpenSearch.

`grammar` has the fields and operators of the language, `value` a value or time in it, `filter` a query and its parser,
and `body` its form in OpenSearch's query DSL. `client` has the methods, `requests` the requests behind them with
sorting and cursors, `partitions` the partitions that a query touches, and `stats` and `follow` what their names say.
"""

from __future__ import annotations

from .body import query_body, window_of
from .client import AuditClient, Entry, Nothing, Page, Where
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
    "Nothing",
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
