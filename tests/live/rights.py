"""The matrix of rights: what each role tries, and what comes of it. docs/security.md shows it, test_rights.py tries it.

Two organizations have entries; an answer that holds the canary of the second one has shown it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ATTEMPTS", "KINDS", "OURS", "ROLES", "THEIRS", "Attempt", "table"]

Outcome = Literal["no", "yes", "all", "own", "none"]
"""Refused; done; entries of all organizations; of the own one alone; an answer without any entry."""

OURS, THEIRS = "acme-canary", "globex-canary"

KINDS = ("writer", "reader", "reader", "auditor", "admin")
ROLES = ("writer", "reader", "reader without organization", "auditor", "admin")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request: `{index}` is the partition, `{prefix}` its prefix, `{theirs}` an ID, `{pit}` a point in time.

    `expected` is in the order of `ROLES`.
    """

    what: str
    method: str
    path: str
    body: Any
    expected: tuple[Outcome, ...]


def _reading(what: str, method: str, path: str, body: Any = None, reader: Outcome = "own") -> Attempt:
    return Attempt(what, method, path, body, ("no", reader, "no", "all", "all"))


def _by(allowed: str, what: str, method: str, path: str, body: Any = None) -> Attempt:
    """Only one of the roles may; with `""`, none."""
    return Attempt(what, method, path, body, tuple("yes" if role == allowed else "no" for role in ROLES))


def _search(what: str, reader: Outcome = "own", body: Any = None, **parts: Any) -> Attempt:
    return _reading(what, "POST", "/{index}/_search", body or parts, reader)


def _bulk(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


_BY_NAME = {"terms": {"field": "organization_name"}}
_EMPTY_TOO = {"terms": {"field": "organization_name", "min_doc_count": 0}}
_NAME_OF_EACH = {"script": "doc['organization_name'].size() > 0 ? doc['organization_name'].value : ''"}
_NEARLY_THEIRS = {"text": THEIRS[:-1] + "i", "term": {"field": "organization_name"}}
_THEIR_TARGET = {"terms": {"target_name": {"index": "{index}", "id": "{theirs}", "path": "target_name"}}}
_ENTRY = {"type": "team_created", "target": "1", "principal": "mallory", "organization_id": "2"}
_ALL = {"query": {"match_all": {}}, "size": 100}
_NEW = {"_index": "{index}", "_id": "{new}"}
_NEW_ELSEWHERE = {"_index": "{prefix}-2020.01", "_id": "{new}"}
_COPY = {"source": {"index": "{index}"}, "dest": {"index": "{prefix}-x"}}
_TEMPLATE = {"index_patterns": ["{prefix}-x-*"]}
_OTHER_ORGANIZATION = [{"op": "add", "path": "/{user}/attributes/organization_id", "value": "2"}]
_USERS = "/_plugins/_security/api/internalusers"

ATTEMPTS = (
    _search("search", body=_ALL),
    _reading("search of all partitions", "POST", "/{prefix}-*/_search", _ALL),
    _reading("search by point in time", "POST", "/_search", {**_ALL, "pit": {"id": "{pit}"}}),
    _reading("search by scroll", "POST", "/{index}/_search?scroll=1m", _ALL),
    _search("search for the other organization", "none", query={"term": {"organization_id": "2"}}),
    _search("the same as a filter afterwards", "none", post_filter={"term": {"organization_id": "2"}}),
    _search("search for what an entry of theirs holds", "none", query=_THEIR_TARGET),
    _search("doc values", size=100, _source=False, docvalue_fields=["organization_name"]),
    _search("script fields", size=100, script_fields={"name": _NAME_OF_EACH}),
    _search("collapsed by organization", size=100, collapse={"field": "organization_name"}),
    _search("highlights", size=100, query={"prefix": {"organization_name": ""}}, highlight={"fields": {"*": {}}}),
    _reading("count", "GET", "/{index}/_count"),
    _search("count by organization", size=0, aggs={"by": _BY_NAME}),
    _search("count by organization, empty ones too", "no", size=0, aggs={"by": _EMPTY_TOO}),
    _reading("get by ID", "GET", "/{index}/_doc/{theirs}", reader="none"),
    _reading("the source by ID", "GET", "/{index}/_source/{theirs}", reader="none"),
    _reading("term vectors by ID", "GET", "/{index}/_termvectors/{theirs}?fields=organization_name", reader="none"),
    _search("profile of a search", "no", body={"profile": True, **_ALL}),
    _search("global aggregation ¹", "all", size=0, aggs={"everything": {"global": {}, "aggs": {"by": _BY_NAME}}}),
    _search("suggester ¹", "all", size=0, suggest={"near": _NEARLY_THEIRS}),
    _by("", "several entries by ID", "POST", "/{index}/_mget", {"ids": ["{theirs}"]}),
    _by("", "several searches at once", "POST", "/{index}/_msearch", _bulk({}, _ALL)),
    _by("", "search of every index", "POST", "/_search", _ALL),
    _by("", "copy to another index", "POST", "/_reindex", _COPY),
    _by("", "read the accounts", "GET", "/.opendistro_security/_search"),
    _by("writer", "store an entry", "PUT", "/{index}/_create/{new}", _ENTRY),
    _by("writer", "store entries in bulk", "POST", "/_bulk", _bulk({"create": _NEW}, _ENTRY)),
    _by("writer", "begin a partition", "POST", "/_bulk", _bulk({"create": _NEW_ELSEWHERE}, _ENTRY)),
    _by("writer", "overwrite an entry whose ID is known ²", "PUT", "/{index}/_doc/{victim}", _ENTRY),
    _by("", "update an entry", "POST", "/{index}/_update/{theirs}", {"doc": {"principal": "43"}}),
    _by("", "delete an entry", "DELETE", "/{index}/_doc/{theirs}"),
    _by("", "delete an entry in bulk", "POST", "/_bulk", _bulk({"delete": {"_index": "{index}", "_id": "{theirs}"}})),
    _by("", "delete by query", "POST", "/{index}/_delete_by_query", {"query": {"match_all": {}}}),
    _by("", "update by query", "POST", "/{index}/_update_by_query", {"query": {"match_all": {}}}),
    _by("admin", "change a mapping", "PUT", "/{index}/_mapping", {"properties": {}}),
    _by(
        "admin", "change an index template", "PUT", "/_index_template/{prefix}-x", {"index_patterns": ["{prefix}-x-*"]}
    ),
    _by("admin", "delete a partition", "DELETE", "/{prefix}-1999.01"),
    _by("", "make another index", "PUT", "/{prefix}other"),
    _by("", "write to another index", "PUT", "/{prefix}other/_doc/1", _ENTRY),
    _by("", "change settings of the cluster", "PUT", "/_cluster/settings", {"transient": {"search.max_buckets": 9}}),
    _by("", "see roles", "GET", "/_plugins/_security/api/roles"),
    _by("", "give oneself another organization", "PATCH", _USERS, _OTHER_ORGANIZATION),
)


def table() -> Iterator[str]:
    """The matrix as lines of Markdown."""
    yield "| attempt | " + " | ".join(ROLES) + " |"
    yield "| --- |" + " --- |" * len(ROLES)
    for attempt in ATTEMPTS:
        yield f"| {attempt.what} | " + " | ".join(attempt.expected) + " |"
