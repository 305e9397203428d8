"""The query: what is asked of the stored entries, as a text, as Python, and as OpenSearch wants it.

`grammar` is the table of the language, `value` one value in it, `filter` a text and what it means, `times` the moments
and periods in it, `pinned` the same for later, `body` what goes to OpenSearch, `completion` what may come next.
"""

from __future__ import annotations

from .body import query_body, window_of
from .filter import Filter
from .grammar import FILTERS
from .pinned import pinned
from .times import Window, check_order, moment

__all__ = ["FILTERS", "Filter", "Window", "check_order", "moment", "pinned", "query_body", "window_of"]
