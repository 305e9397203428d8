"""The overview: one dashboard of all visualizations and of the newest entries, and the list of what it is made of."""

from __future__ import annotations

from typing import Any

from ...catalog import Catalog
from ...settings import Settings
from .saved_object import SavedObject, index_pattern_object, object_id
from .searches import EVERYTHING, saved_searches
from .visualizations import TIME_SPAN, visualizations

__all__ = ["saved_objects"]

_PLACES = {
    "over-time": (0, 0, 48, 15),
    "top-principals": (0, 15, 12, 16),
    "top-targets": (12, 15, 14, 16),
    "organizations": (26, 15, 12, 16),
    "client-ips": (38, 15, 10, 16),
    EVERYTHING: (0, 31, 48, 24),
}
"""Name → column, row, width and height, on a grid of 48 columns."""

_PANEL_VERSION = "3.3.0"
"""The Dashboards whose form of a panel this is."""


def saved_objects(settings: Settings, catalog: Catalog) -> tuple[SavedObject, ...]:
    """Everything, each after what it refers to."""
    parts = (*saved_searches(settings, catalog), *visualizations(settings))
    return (index_pattern_object(settings), *parts, _dashboard(settings, parts))


def _dashboard(settings: Settings, parts: tuple[SavedObject, ...]) -> SavedObject:
    known = {part.id: part for part in parts}
    shown = [known[object_id(settings, name)] for name in _PLACES]
    attributes = {
        "title": f"{settings.index_prefix}: overview",
        "description": "Who did what, when and from where.",
        "hits": 0,
        "version": 1,
        "panelsJSON": [_panel(number, *place) for number, place in enumerate(_PLACES.values())],
        "optionsJSON": {"hidePanelTitles": False, "useMargins": True},
        "timeRestore": True,
        "timeFrom": TIME_SPAN,
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 0},
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": {"query": {"query": "", "language": "kuery"}, "filter": []},
        },
    }
    references = tuple(
        {"name": _panel_name(number), "type": part.type, "id": part.id} for number, part in enumerate(shown)
    )
    return SavedObject("dashboard", object_id(settings, "overview"), attributes, references)


def _panel(number: int, column: int, row: int, width: int, height: int) -> dict[str, Any]:
    index = str(number + 1)
    return {
        "version": _PANEL_VERSION,
        "gridData": {"x": column, "y": row, "w": width, "h": height, "i": index},
        "panelIndex": index,
        "embeddableConfig": {},
        "panelRefName": _panel_name(number),
    }


def _panel_name(number: int) -> str:
    return f"panel_{number}"
