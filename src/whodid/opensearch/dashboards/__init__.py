"""OpenSearch Dashboards: an index pattern, saved searches, visualizations and three dashboards over the audit log.

`dashboard` lists the saved objects, made from the settings; `server` is the small part of Dashboards' API that puts
them in; `plan` compares the two. `opensearch/dashboards/audit.ndjson` is the list under default settings, for people to
read or to import by hand; a test compares it.
"""

from __future__ import annotations

from .dashboard import saved_objects
from .index_pattern import check_tab_url
from .plan import plan, removals
from .saved_object import SavedObject, ndjson
from .server import Dashboards

__all__ = ["Dashboards", "SavedObject", "check_tab_url", "ndjson", "plan", "removals", "saved_objects"]
