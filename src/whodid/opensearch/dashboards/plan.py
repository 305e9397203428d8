"""The plan: what Dashboards must have, compared with what it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ...catalog import Catalog
from ...settings import Settings
from ..change import Change, compared
from .overview import saved_objects
from .saved_object import SavedObject, as_meant
from .server import Dashboards

__all__ = ["plan"]


def plan(dashboards: Dashboards, settings: Settings) -> tuple[Change, ...]:
    """One change an object, each after what it refers to. Raises `OpenSearchError` and `CatalogError`."""
    wanted = saved_objects(settings, Catalog.load(settings.catalog or None, mode=settings.catalog_mode))
    stored = dashboards.stored(wanted)
    return tuple(_change(dashboards, one, stored.get((one.type, one.id))) for one in wanted)


def _change(dashboards: Dashboards, wanted: SavedObject, stored: Mapping[str, Any] | None) -> Change:
    change = compared(
        f"Dashboards {wanted.type} {wanted.id}",
        _comparable(stored, wanted) if stored is not None else None,
        {"attributes": wanted.attributes, "references": list(wanted.references)},
        partial(dashboards.put, wanted),
    )
    return (
        replace(change, note=f"{dashboards.url}/app/dashboards#/view/{wanted.id}")
        if wanted.type == "dashboard"
        else change
    )


def _comparable(stored: Mapping[str, Any], wanted: SavedObject) -> dict[str, Any]:
    """What of a stored object is ours: Dashboards adds attributes, such as the fields of an index pattern."""
    attributes = as_meant(stored.get("attributes") or {})
    return {
        "attributes": {name: value for name, value in attributes.items() if name in wanted.attributes},
        "references": stored.get("references") or [],
    }
