"""The index pattern: which indices Dashboards reads, the fields of an entry, and how it shows their values.

The list of fields is written here. Without it, each panel makes the browser ask for the fields and save them, again and
again before the first entry, and in vain for people who may only read. Dashboards writes the list again when somebody
refreshes it, in its own order and with fields of its own, so a stored list is compared by name and type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...errors import SettingsError
from ...settings import Settings, check_url
from ..template import FIELD_TYPES, index_pattern
from .saved_object import PATTERN, SavedObject, object_id

__all__ = ["check_tab_url", "index_pattern_object", "types"]

_TYPES = {
    "keyword": "string",
    "ip": "ip",
    "date": "date",
    "date_nanos": "date",
    "long": "number",
    "flat_object": "unknown",
    "_id": "string",
    "_index": "string",
    "_source": "_source",
}
"""What Dashboards makes of a mapping type."""

_FIELDS = {
    **{name: name for name in ("_id", "_index", "_source")},
    **{name: mapping["type"] for name, mapping in FIELD_TYPES.items() if mapping.get("enabled", True)},
}
"""Each field that Dashboards lists, and its mapping type. What is only stored is none for it."""

_HIDDEN = [name for name in FIELD_TYPES if name not in _FIELDS]

_FORMATS: Mapping[str, Any] = {
    "outcome": {
        "id": "color",
        "params": {
            "fieldType": "string",
            "colors": [{"range": "-Infinity:Infinity", "regex": "failure", "text": "#ffffff", "background": "#bd271e"}],
        },
    },
    "seq": {"id": "number", "params": {"pattern": "0"}},
}


def index_pattern_object(settings: Settings, tab_url: str = "") -> SavedObject:
    """All partitions; with `tab_url` the ID of an entry is a link to it in the tab."""
    attributes = {
        "title": index_pattern(settings),
        "timeFieldName": "@timestamp",
        "fields": [_field(name, kind) for name, kind in sorted(_FIELDS.items())],
        "fieldFormatMap": {**_FORMATS, **({"_id": _link(tab_url)} if tab_url else {})},
        "sourceFilters": [{"value": value} for name in _HIDDEN for value in (name, f"{name}.*")],
    }
    return SavedObject("index-pattern", object_id(settings, PATTERN), attributes)


def types(fields: Any) -> Any:
    """Name → type of each of our fields in a stored list; what is no list of fields stays what it is."""
    try:
        return {one["name"]: one["type"] for one in fields if one["name"] in _FIELDS}
    except (KeyError, TypeError):
        return fields


def check_tab_url(url: str) -> str:
    """The address of the tab without a slash at its end. Raises `SettingsError`."""
    check_url("--tab-url", url, "https://audit.example")
    parts = urlsplit(url)
    if parts.query or parts.fragment or not url.isprintable() or set(url) & set(" ()<>[]{}\"'`\\"):
        raise SettingsError(
            f"--tab-url must be the plain address of the tab, such as https://audit.example, not {url!r}"
        )
    return url.rstrip("/?#")


def _field(name: str, kind: str) -> dict[str, Any]:
    counted = kind not in {"flat_object", "_source"}
    return {
        "name": name,
        "type": _TYPES[kind],
        "esTypes": [kind],
        "searchable": kind != "_source",
        "aggregatable": counted,
        "readFromDocValues": counted and not name.startswith("_"),
        "count": 0,
        "scripted": False,
    }


def _link(tab_url: str) -> dict[str, Any]:
    template = {"urlTemplate": f"{tab_url}/entries/{{{{value}}}}", "labelTemplate": "{{value}}"}
    return {"id": "url", "params": {**template, "openLinkInCurrentTab": False}}
