"""OpenSearch Dashboards: an index pattern, saved searches, visualizations and one dashboard over the audit log.

`overview` lists the saved objects, made from the settings and the catalog; `server` is the small part of Dashboards'
API that puts them in; `plan` compares the two. `opensearch/dashboards/audit.ndjson` is the list under default settings,
for people to read or to import by hand; a test compares it.
"""

from __future__ import annotations

from .overview import saved_objects
from .plan import plan
from .saved_object import SavedObject, ndjson
from .server import Dashboards

__all__ = ["Dashboards", "SavedObject", "ndjson", "plan", "saved_objects"]
