"""The saved object: one thing that Dashboards keeps, and its line in a file for import.

Format: a JSON object with `id`, `type`, `attributes`, `references` and `migrationVersion`, one a line. Dashboards wants
some attributes as strings that hold JSON; here they are plain values, turned into strings on the way out and back on
the way in. What it does not forgive: an attribute it does not know is refused, a newer `migrationVersion` than its own
as well, and a reference that is left out imports well and then draws nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...settings import Settings

__all__ = ["PATTERN", "SavedObject", "as_kept", "as_meant", "dql", "ndjson", "object_id", "over_entries", "titled"]

Type = Literal["index-pattern", "search", "visualization", "dashboard"]

_VERSIONS: Mapping[Type, str] = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}
"""The `migrationVersion` of the form written here; Dashboards 1.0 to 3.x know these."""

_JSON_TEXT = {
    "searchSourceJSON",
    "visState",
    "uiStateJSON",
    "panelsJSON",
    "optionsJSON",
    "fields",
    "fieldFormatMap",
    "sourceFilters",
}
PATTERN = "entries"
"""The name of the index pattern."""

_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True, slots=True)
class SavedObject:
    """`attributes` as they are meant, without JSON inside strings."""

    type: Type
    id: str
    attributes: Mapping[str, Any]
    references: tuple[Mapping[str, str], ...] = ()

    @property
    def line(self) -> str:
        """The line of this object in a file for import, with its end."""
        content = {
            "id": self.id,
            "type": self.type,
            "attributes": as_kept(self.attributes),
            "references": list(self.references),
            "migrationVersion": {self.type: _VERSIONS[self.type]},
        }
        return _json(content) + "\n"


def object_id(settings: Settings, name: str) -> str:
    """Stable, and another for each `index_prefix`, which can't hold a dot."""
    return f"{settings.index_prefix}.{name}"


def ndjson(objects: Iterable[SavedObject]) -> str:
    """A file for import."""
    return "".join(one.line for one in objects)


def titled(settings: Settings, title: str) -> str:
    """What lists of saved objects show; a panel has the title alone."""
    return f"{settings.index_prefix}: {title}"


def dql(query: str) -> dict[str, str]:
    """A query in the Dashboards Query Language, which people are offered too; Dashboards keeps it by its old name."""
    return {"query": query, "language": "kuery"}


def over_entries(
    settings: Settings, type_: Type, name: str, attributes: Mapping[str, Any], source: Mapping[str, Any]
) -> SavedObject:
    """An object that looks at all partitions; `source` is what its search asks for."""
    meta = {"searchSourceJSON": {**source, "filter": [], "indexRefName": _INDEX}}
    reference = {"name": _INDEX, "type": "index-pattern", "id": object_id(settings, PATTERN)}
    return SavedObject(
        type_, object_id(settings, name), {**attributes, "version": 1, "kibanaSavedObjectMeta": meta}, (reference,)
    )


def as_kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as Dashboards keeps them."""
    return {
        name: _json(value) if name in _JSON_TEXT else as_kept(value) if isinstance(value, Mapping) else value
        for name, value in attributes.items()
    }


def as_meant(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as `SavedObject` holds them; a string that is no JSON stays what it is."""
    return {
        name: _parsed(value) if name in _JSON_TEXT else as_meant(value) if isinstance(value, Mapping) else value
        for name, value in attributes.items()
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value
