"""The matrix of rights: what each role tries, and what comes of it. docs/explanation/security.md shows it.

Two organizations have entries; an answer that holds the canary of the second one has shown it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ATTEMPTS", "KINDS", "OURS", "ROLES", "THEIRS", "Attempt", "Outcome", "table"]

Outcome = Literal["no", "yes", "all", "own", "none"]
"""Refused; done; entries of all organizations; of the own one alone; an answer without any entry."""

OURS, THEIRS = "acme-canary", "globex-canary"

KINDS = ("writer", "reader", "reader", "auditor", "admin", "eraser")
ROLES = ("writer", "reader", "reader without organization", "auditor", "admin", "eraser")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request: `{index}` is the partition, `{prefix}` its prefix, `{theirs}` an ID, `{pit}` a point in time.

    `expected` is in the order of `ROLES`. `counted` is where in the answer a number of entries is; without it, the
    canaries tell whose entries the answer shows.
    """

    what: str
    method: str
    path: str
    body: Any
    expected: tuple[Outcome, ...]
    counted: tuple[str, ...] = ()


def _reading(
    what: str, method: str, path: str, body: Any = None, reader: Outcome = "own", counted: tuple[str, ...] = ()
) -> Attempt:
    return Attempt(what, method, path, body, ("no", reader, "no", "all", "all", "all"), counted)


def _by(allowed: tuple[str, ...], what: str, method: str, path: str, body: Any = None) -> Attempt:
    """Only these roles may."""
    return Attempt(what, method, path, body, tuple("yes" if role in allowed else "no" for role in ROLES))


def _search(what: str, reader: Outcome = "own", body: Any = None, **parts: Any) -> Attempt:
    return _reading(what, "POST", "/{index}/_search", body or parts, reader)


def _bulk(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


_BY_NAME = {"terms": {"field": "organization_name"}}
_EMPTY_TOO = {"terms": {"field": "organization_name", "min_doc_count": 0}}
_WITHIN = {"filter": {"match_all": {}}, "aggs": {"by": _EMPTY_TOO}}
_GLOBAL_NAMES = {"global": {}, "aggs": {"by": _BY_NAME}}
_GLOBAL_ENTRIES = {"global": {}, "aggs": {"top": {"top_hits": {"size": 100}}}}
_SIGNIFICANT = {"significant_terms": {"field": "organization_name"}}
_SIGNIFICANT_COUNT = ("aggregations", "by", "bg_count")
_NAME_OF_EACH = {"script": "doc['organization_name'].size() > 0 ? doc['organization_name'].value : ''"}
_NEARLY_THEIRS = {"text": THEIRS[:-1] + "i", "term": {"field": "organization_name"}}
_THEIR_TARGET = {"terms": {"target_name": {"index": "{index}", "id": "{theirs}", "path": "target_name"}}}
_LIKE_THEIRS = {"more_like_this": {"fields": ["target_name"], "like": [{"_index": "{index}", "_id": "{theirs}"}]}}
_ENTRY = {"type": "team_created", "target": "1", "principal": "mallory", "organization_id": "2"}
_ALL = {"query": {"match_all": {}}, "size": 100}
_NEW = {"_index": "{index}", "_id": "{new}"}
_NEW_ELSEWHERE = {"_index": "{prefix}-begun-{new}", "_id": "{new}"}
_COPY = {"source": {"index": "{index}"}, "dest": {"index": "{prefix}-x"}}
_TEMPLATE = {"index_patterns": ["{prefix}-x-*"]}
_ALIAS = {"actions": [{"add": {"index": "{index}", "alias": "{prefix}-alias"}}]}
_MORE_RIGHTS = {"cluster_permissions": ["*"]}
_OTHER_ORGANIZATION = [{"op": "add", "path": "/{user}/attributes/organization_id", "value": "2"}]
_USERS = "/_plugins/_security/api/internalusers"
_READERS = ("reader", "auditor", "admin", "eraser")
_STORING = ("writer", "eraser")

_READING = (
    _search("search", body=_ALL),
    _reading("search of all partitions", "POST", "/{prefix}-*/_search", _ALL),
    _reading("search by point in time", "POST", "/_search", {**_ALL, "pit": {"id": "{pit}"}}),
    _reading("search by scroll", "POST", "/{index}/_search?scroll=1m", _ALL),
    _search("search for the other organization", "none", query={"term": {"organization_id": "2"}}),
    _search("the same as a filter afterwards", "none", post_filter={"term": {"organization_id": "2"}}),
    _search("search for what an entry of theirs holds", "none", query=_THEIR_TARGET),
    _search("doc values", size=100, _source=False, docvalue_fields=["organization_name"]),
    _search("all fields, and the source by patterns", size=100, _source=["*"], fields=["*"], stored_fields=["*"]),
    _search("script fields", size=100, script_fields={"name": _NAME_OF_EACH}),
    _search("collapsed by organization", size=100, collapse={"field": "organization_name"}),
    _search("highlights", size=100, query={"prefix": {"organization_name": ""}}, highlight={"fields": {"*": {}}}),
    _reading("count", "GET", "/{index}/_count", counted=("count",)),
    _search("count by organization", size=0, aggs={"by": _BY_NAME}),
    _search("count by organization, empty ones too", "no", size=0, aggs={"by": _EMPTY_TOO}),
    _reading("get by ID", "GET", "/{index}/_doc/{theirs}", reader="none"),
    _reading("the source by ID", "GET", "/{index}/_source/{theirs}", reader="none"),
    _reading("term vectors by ID", "GET", "/{index}/_termvectors/{theirs}?fields=organization_name", reader="none"),
    _search("profile of a search", "no", body={"profile": True, **_ALL}),
    _search("entries in a global aggregation ¹", "all", size=0, aggs={"everything": _GLOBAL_ENTRIES}),
    _search("count by organization in a global aggregation ¹", "all", size=0, aggs={"everything": _GLOBAL_NAMES}),
    _search("values without entries, one aggregation deeper ¹", "all", size=0, aggs={"within": _WITHIN}),
    _reading(
        "significant terms: how many entries there are ¹",
        "POST",
        "/{index}/_search",
        {"size": 0, "aggs": {"by": _SIGNIFICANT}},
        "all",
        _SIGNIFICANT_COUNT,
    ),
    _search("suggester ¹", "all", size=0, suggest={"near": _NEARLY_THEIRS}),
    Attempt(
        "explanation of an ID of theirs",
        "POST",
        "/{index}/_explain/{theirs}",
        {"query": {"match_all": {}}},
        ("no", "none", "no", "yes", "yes", "yes"),
    ),
    _by(_READERS, "names of the fields", "GET", "/{index}/_field_caps?fields=*"),
    _by(_READERS, "open a point in time", "POST", "/{index}/_search/point_in_time?keep_alive=1s"),
    _by((), "see everybody's points in time", "GET", "/_search/point_in_time/_all"),
    _by((), "close everybody's points in time", "DELETE", "/_search/point_in_time/_all"),
    _by((), "continue somebody else's scroll", "POST", "/_search/scroll", {"scroll_id": "{scroll}"}),
    _by((), "search like an entry of theirs", "POST", "/{index}/_search", {"query": _LIKE_THEIRS}),
    Attempt(
        "several entries by ID",
        "POST",
        "/{index}/_mget",
        {"ids": ["{theirs}"]},
        ("no", "no", "no", "no", "no", "all"),
    ),
    _by((), "several term vectors by ID", "POST", "/{index}/_mtermvectors", {"ids": ["{theirs}"]}),
    _by((), "several searches at once", "POST", "/{index}/_msearch", _bulk({}, _ALL)),
    _by((), "validate a query", "GET", "/{index}/_validate/query?rewrite=true&q=organization_name:*"),
    _by((), "search of every index", "POST", "/_search", _ALL),
    _by((), "search of every index by a wildcard", "POST", "/*/_search", _ALL),
    _by((), "copy to another index", "POST", "/_reindex", _COPY),
    _by((), "read the accounts", "GET", "/.opendistro_security/_search"),
)

_CHANGING = (
    _by(_STORING, "store an entry", "PUT", "/{index}/_create/{new}", _ENTRY),
    _by(_STORING, "store entries in bulk", "POST", "/_bulk", _bulk({"create": _NEW}, _ENTRY)),
    _by((), "create a partition by a bulk request", "POST", "/_bulk", _bulk({"create": _NEW_ELSEWHERE}, _ENTRY)),
    _by(("admin",), "make an index whose name is a partition's", "PUT", "/{prefix}-{new}"),
    _by(("writer", "admin"), "see what is in force in a partition", "GET", "/{index}"),
    _by(("admin",), "see what would be in force", "POST", "/_index_template/_simulate_index/{prefix}-{new}"),
    _by(_STORING, "overwrite an entry whose ID is known ²", "PUT", "/{index}/_doc/{victim}", _ENTRY),
    _by((), "update an entry", "POST", "/{index}/_update/{theirs}", {"doc": {"principal": "43"}}),
    _by((), "delete an entry", "DELETE", "/{index}/_doc/{theirs}"),
    _by((), "delete an entry in bulk", "POST", "/_bulk", _bulk({"delete": {"_index": "{index}", "_id": "{theirs}"}})),
    _by((), "delete by query", "POST", "/{index}/_delete_by_query", {"query": {"match_all": {}}}),
    _by((), "update by query", "POST", "/{index}/_update_by_query", {"query": {"match_all": {}}}),
    _by(("admin",), "change a mapping", "PUT", "/{index}/_mapping", {"properties": {}}),
    _by(
        ("admin", "eraser"),
        "change a partition's settings",
        "PUT",
        "/{index}/_settings",
        {"index": {"blocks.write": None}},
    ),
    _by(("eraser",), "write a partition to disk", "POST", "/{index}/_flush"),
    _by(("eraser",), "merge away what was replaced", "POST", "/{index}/_forcemerge?only_expunge_deletes=true"),
    _by((), "close a partition", "POST", "/{index}/_close"),
    _by((), "give a partition another name", "POST", "/_aliases", _ALIAS),
    _by(("admin",), "delete a partition", "DELETE", "/{prefix}-1999.01"),
    _by(("admin",), "change an index template", "PUT", "/_index_template/{prefix}-x", _TEMPLATE),
    _by((), "make another index", "PUT", "/{prefix}other"),
    _by((), "write to another index", "PUT", "/{prefix}other/_doc/1", _ENTRY),
    _by((), "change settings of the cluster", "PUT", "/_cluster/settings", {"transient": {"search.max_buckets": 9}}),
    _by((), "see roles", "GET", "/_plugins/_security/api/roles"),
    _by((), "give a role more rights", "PUT", "/_plugins/_security/api/roles/{role}", _MORE_RIGHTS),
    _by((), "give oneself another organization", "PATCH", _USERS, _OTHER_ORGANIZATION),
)

ATTEMPTS = _READING + _CHANGING


def table() -> Iterator[str]:
    """The matrix as lines of Markdown."""
    yield "| attempt | " + " | ".join(ROLES) + " |"
    yield "| --- |" + " --- |" * len(ROLES)
    for attempt in ATTEMPTS:
        yield f"| {attempt.what} | " + " | ".join(attempt.expected) + " |"
