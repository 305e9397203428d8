"""The saved searches: questions an auditor asks each week, with the columns of the seed's table.

Queries are in Lucene's language, which Dashboards hands to OpenSearch as it is. They name the event types one by one,
taken from the catalog by how they are called, so that an application's own types are found too.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ...catalog import Catalog
from ...settings import Settings
from .saved_object import SavedObject, over_entries

__all__ = ["COLUMNS", "EVERYTHING", "saved_searches"]

COLUMNS = ("type", "target", "principal", "status", "organization_name", "workspace_name", "client_ip")

EVERYTHING = "all-entries"
"""The name of the search that leaves nothing out."""

_BY_TYPE = {
    "sign-ins": ("sign-ins", "Who signed in, or tried to; status is the method.", ("*_sign_in",)),
    "credentials-access": ("credentials access", "Each reading of credentials.", ("credentials_accessed",)),
    "deletions": ("deletions", "What was deleted, removed or dropped.", ("*_deleted", "*_removed", "*_dropped")),
}
"""Name → title, description, and how the event types are called that it finds."""


def saved_searches(settings: Settings, catalog: Catalog) -> tuple[SavedObject, ...]:
    """All searches; one by type is left out where the catalog has no such type."""
    by_type = (
        _search(settings, name, title, description, _any_of("type", found))
        for name, (title, description, patterns) in _BY_TYPE.items()
        if (found := _types(catalog, *patterns))
    )
    return (
        _search(settings, EVERYTHING, "all entries", "Every entry, newest first.", ""),
        *by_type,
        _search(settings, "failures", "failures", "What failed, by outcome, status or event type.", _failures(catalog)),
    )


def _search(settings: Settings, name: str, title: str, description: str, query: str) -> SavedObject:
    attributes = {
        "title": f"{settings.index_prefix}: {title}",
        "description": description,
        "hits": 0,
        "columns": list(COLUMNS),
        "sort": [["@timestamp", "desc"]],
    }
    language = "lucene" if query else "kuery"  # where there is nothing yet, the one that people are offered
    source = {"query": {"query": query, "language": language}, "highlightAll": True, "version": True}
    return over_entries(settings, "search", name, attributes, source)


def _failures(catalog: Catalog) -> str:
    """An outcome that says so, a status of the catalog that does (written small too), or a type called so."""
    named = {status for kind in catalog.types.values() for status in kind.rules.status if status.lower() == "failed"}
    alternatives = ["outcome:failure", _any_of("status", {*named, "failed"})]
    if types := _types(catalog, "*_failed"):
        alternatives.append(_any_of("type", types))
    return " OR ".join(alternatives)


def _types(catalog: Catalog, *patterns: str) -> list[str]:
    return [name for name in catalog.types if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _any_of(field: str, values: Iterable[str]) -> str:
    """In quotes: a status may hold anything that Lucene would read as an operator."""
    quoted = ('"' + value.replace("\\", r"\\").replace('"', r"\"") + '"' for value in sorted(values))
    return f"{field}:({' OR '.join(quoted)})"
