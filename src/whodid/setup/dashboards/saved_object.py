"""Saved objects of Dashboards: their format for import, the saved searches, and the index pattern.

Format: a JSON object with `id`, `type`, `attributes`, `references` and `migrationVersion`, one a line. Dashboards
stores some attributes as strings of JSON; here they are plain values, encoded for import and decoded for comparison.
Dashboards refuses unknown attributes and a newer `migrationVersion` than its own; an object without a needed reference
is imported, but shows nothing.

Queries are in DQL, the language of Dashboards. They match event types by prefix or suffix, so that an application's own
types are found too.

The index pattern includes the list of fields. Without it, each panel makes the browser fetch and save the fields, which
fails for users who may only read. Dashboards rewrites the list when somebody refreshes it, in another order and with
additional fields, so a stored list is compared by name and type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from ...cluster.template import FIELD_TYPES, index_pattern
from ...entry import TARGET_KEYS
from ...errors import SettingsError
from ...settings import Settings, check_url

__all__ = [
    "COLUMNS",
    "EVERYTHING",
    "PATTERN",
    "QUESTIONS",
    "Question",
    "SavedObject",
    "check_tab_url",
    "decoded",
    "dql",
    "encoded",
    "index_pattern_object",
    "ndjson",
    "object_id",
    "over_entries",
    "saved_searches",
    "titled",
    "types",
]

Type = Literal["index-pattern", "search", "visualization", "dashboard"]

_VERSIONS: Mapping[Type, str] = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}
"""The `migrationVersion` of the format used here; Dashboards 1.0 to 3.x support these."""

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
    """A saved object; `attributes` are plain values, without JSON inside strings."""

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
            "attributes": encoded(self.attributes),
            "references": list(self.references),
            "migrationVersion": {self.type: _VERSIONS[self.type]},
        }
        return _json(content) + "\n"


def object_id(settings: Settings, name: str) -> str:
    """The ID of an object: stable, and different for each `index_prefix`, which can't contain a dot."""
    return f"{settings.index_prefix}.{name}"


def ndjson(objects: Iterable[SavedObject]) -> str:
    """A file for import."""
    return "".join(one.line for one in objects)


def titled(settings: Settings, title: str) -> str:
    """The title for lists of saved objects; panels show it without the prefix."""
    return f"{settings.index_prefix}: {title}"


def dql(query: str) -> dict[str, str]:
    """A query in the Dashboards Query Language, which Dashboards stores under its old name."""
    return {"query": query, "language": "kuery"}


def over_entries(
    settings: Settings, type_: Type, name: str, attributes: Mapping[str, Any], source: Mapping[str, Any]
) -> SavedObject:
    """An object over all partitions; `source` is its search."""
    meta = {"searchSourceJSON": {**source, "filter": [], "indexRefName": _INDEX}}
    reference = {"name": _INDEX, "type": "index-pattern", "id": object_id(settings, PATTERN)}
    return SavedObject(
        type_, object_id(settings, name), {**attributes, "version": 1, "kibanaSavedObjectMeta": meta}, (reference,)
    )


def encoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as Dashboards stores them."""
    return {
        name: _json(value) if name in _JSON_TEXT else encoded(value) if isinstance(value, Mapping) else value
        for name, value in attributes.items()
    }


def decoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as `SavedObject` has them; a string that is not JSON is unchanged."""
    return {
        name: _parsed(value) if name in _JSON_TEXT else decoded(value) if isinstance(value, Mapping) else value
        for name, value in attributes.items()
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


COLUMNS = (
    "type",
    "outcome",
    "principal",
    "principal_name",
    "target",
    "target_name",
    "status",
    "organization_name",
    "workspace_name",
    "client_ip",
)


class Question(NamedTuple):
    title: str
    about: str
    query: str


EVERYTHING = "all-entries"
"""The name of the search for all entries."""

QUESTIONS: Mapping[str, Question] = {
    EVERYTHING: Question("all entries", "Every entry, newest first.", ""),
    "sign-ins": Question("sign-ins", "Who signed in, or tried to; status is the method.", "type: *_sign_in"),
    "failed-sign-ins": Question(
        "failed sign-ins", "Who could not sign in; target is who tried.", "type: *_sign_in and outcome: failure"
    ),
    "failures": Question(
        "failures",
        "What failed, by outcome, status or event type.",
        "outcome: failure or status: (failed or Failed or FAILED) or type: *_failed",
    ),
    "rights": Question(
        "changes of rights",
        "Members, their roles, teams and access tokens.",
        "type: (participant_* or team_* or access_token_* or *_role_*)",
    ),
    "deletions": Question(
        "deletions", "What was deleted, removed or dropped.", "type: (*_deleted or *_removed or *_dropped)"
    ),
    "credentials-access": Question("credentials access", "Each reading of credentials.", "type: credentials_accessed"),
    "on-behalf": Question("on behalf of others", "What one user did as another.", "on_behalf_of: *"),
}


def saved_searches(settings: Settings, tab_url: str = "") -> tuple[SavedObject, ...]:
    """All searches; with `tab_url` the ID of an entry is a column, as it is a link then."""
    columns = [*COLUMNS, *(["_id"] if tab_url else [])]
    return tuple(_saved(settings, name, question, columns) for name, question in QUESTIONS.items())


def _saved(settings: Settings, name: str, question: Question, columns: list[str]) -> SavedObject:
    attributes = {
        "title": titled(settings, question.title),
        "description": question.about,
        "hits": 0,
        "columns": columns,
        "sort": [["@timestamp", "desc"]],
    }
    source = {"query": dql(question.query), "highlightAll": True, "version": True}
    return over_entries(settings, "search", name, attributes, source)


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
"""The type in Dashboards for each mapping type."""

_FIELDS = {
    **{name: name for name in ("_id", "_index", "_source")},
    **{name: mapping["type"] for name, mapping in FIELD_TYPES.items() if mapping.get("enabled", "type" in mapping)},
    **{f"targets.{key}": "keyword" for key in TARGET_KEYS},
}
"""Each field that Dashboards lists, and its mapping type; fields that are only stored are not listed."""

_HIDDEN = [name for name, mapping in FIELD_TYPES.items() if not mapping.get("enabled", True)]


def _colored(pattern: str, background: str) -> dict[str, Any]:
    """The format of a text that is shown in white on a colour if it matches."""
    color = {"range": "-Infinity:Infinity", "regex": pattern, "text": "#ffffff", "background": background}
    return {"id": "color", "params": {"fieldType": "string", "colors": [color]}}


_FORMATS: Mapping[str, Any] = {
    "outcome": _colored("failure", "#bd271e"),
    "principal_type": _colored("service|api_key|agent|system", "#54b399"),
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
    """Name → type of each of our fields in a stored list; anything but a list of fields is returned unchanged."""
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
