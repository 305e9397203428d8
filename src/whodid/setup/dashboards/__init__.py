"""OpenSearch Dashboards: an index pattern, saved searches, visualizations and three dashboards over the audit log.

`dashboard` makes the saved objects from the settings; `server` is a client for the part of Dashboards' API that imports
them; `plan` compares the two, and `removals` lists what can be removed. `opensearch/dashboards/audit.ndjson` has the
objects under default settings, for people to read or to import by hand; a test compares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ...cluster.template import Change, compared
from ...settings import Settings
from ..setup import Removal
from .dashboard import saved_objects
from .saved_object import SavedObject, check_tab_url, decoded, ndjson, types
from .server import Dashboards

__all__ = ["Dashboards", "SavedObject", "check_tab_url", "ndjson", "plan", "removals", "saved_objects"]


def plan(dashboards: Dashboards, settings: Settings, tab_url: str = "") -> tuple[Change, ...]:
    """One change for each object, after those that it refers to. Raises `OpenSearchError`."""
    wanted = saved_objects(settings, tab_url)
    stored = dashboards.stored(wanted)
    return tuple(_change(dashboards, one, stored.get((one.type, one.id))) for one in wanted)


def removals(dashboards: Dashboards, settings: Settings) -> Iterator[Removal]:
    """Our objects in Dashboards, each before those that it refers to. Raises `OpenSearchError`."""
    wanted = saved_objects(settings)
    stored = dashboards.stored(wanted)
    for one in reversed(wanted):
        if (one.type, one.id) in stored:
            note = "objects of yours that use it need another one" if one.type == "index-pattern" else ""
            yield Removal(_what(one), note=note, make=partial(dashboards.delete, one))


def _what(one: SavedObject) -> str:
    return f"Dashboards {one.type} {one.id}"


def _change(dashboards: Dashboards, wanted: SavedObject, stored: Mapping[str, Any] | None) -> Change:
    change = compared(
        _what(wanted),
        _comparable(decoded(stored["attributes"]), stored["references"], wanted) if stored is not None else None,
        _comparable(wanted.attributes, wanted.references, wanted),
        partial(dashboards.put, wanted),
    )
    return (
        replace(change, note=f"{dashboards.url}/app/dashboards#/view/{wanted.id}")
        if wanted.type == "dashboard"
        else change
    )


def _comparable(attributes: Mapping[str, Any], references: Iterable[Any], wanted: SavedObject) -> dict[str, Any]:
    """The part of an object that is ours: Dashboards adds attributes, and changes the list of fields."""
    ours = {
        name: types(value) if name == "fields" else value
        for name, value in attributes.items()
        if name in wanted.attributes
    }
    return {"attributes": ours, "references": list(references)}
