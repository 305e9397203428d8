"""What a browser with Dashboards open sends to OpenSearch for a saved search or a visualization, and what it draws.

Made after Dashboards' source: a Lucene query goes into `query_string` with `analyze_wildcard`, Discover wants
highlights of every field, and the "Other" of a `terms` aggregation is counted by a second request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opensearchpy import OpenSearch

from whodid.entry import FIELDS
from whodid.opensearch.dashboards import SavedObject

__all__ = ["INTERVAL_MS", "Browser"]

INTERVAL_MS = 12 * 3600 * 1000
"""The width of a bar when `auto` is asked for 30 days."""

Rows = dict[tuple[Any, ...], int]
Aggregation = Mapping[str, Any]


@dataclass(frozen=True)
class Browser:
    """Looks at one index pattern between two moments, in milliseconds."""

    client: OpenSearch
    pattern: str
    since: int
    until: int

    def hits(self, search: SavedObject) -> list[dict[str, Any]]:
        """What Discover lists: the first 500."""
        body = {
            "size": 500,
            "version": True,
            "sort": [{name: {"order": order, "unmapped_type": "boolean"}} for name, order in search.attributes["sort"]],
            "stored_fields": ["*"],
            "script_fields": {},
            "docvalue_fields": [
                {"field": name, "format": "date_time"} for name, field in FIELDS.items() if "date" in field.kind
            ],
            "_source": {"excludes": []},
            "query": self._query(search),
            "highlight": {"fields": {"*": {}}, "fragment_size": 2147483647},
            "aggs": {"2": {"date_histogram": {"field": "@timestamp", "fixed_interval": "12h", "min_doc_count": 1}}},
        }
        hits: list[dict[str, Any]] = self._ask(body)["hits"]["hits"]
        return hits

    def rows(self, visualization: SavedObject) -> Rows:
        """What is drawn: for each path of keys its count. What is left over is `__other__`."""
        buckets = [one for one in visualization.attributes["visState"]["aggs"] if one["schema"] != "metric"]
        body = {"size": 0, "query": self._query(visualization), "aggs": _nested(buckets)}
        found = dict(_flat(self._ask(body)["aggregations"], buckets))
        if buckets[-1]["params"]["otherBucket"]:
            found |= self._others(visualization, buckets, found)
        return found

    def _others(self, visualization: SavedObject, buckets: Sequence[Aggregation], found: Rows) -> Rows:
        last = buckets[-1]["params"]
        parents: dict[tuple[Any, ...], list[Any]] = {}
        for path in found:
            parents.setdefault(path[:-1], []).append(path[-1])
        filters = {}
        for parent, keys in parents.items():
            within: list[Any] = [_slot(moment) for moment in parent]
            if not last["missingBucket"] or "__missing__" in keys:
                within.append({"exists": {"field": last["field"]}})
            without = [{"match_phrase": {last["field"]: key}} for key in keys if key != "__missing__"]
            filters["-".join(map(str, parent))] = {"bool": {"filter": within, "must_not": without}}
        body = {
            "size": 0,
            "query": self._query(visualization),
            "aggs": {"other-filter": {"filters": {"filters": filters}}},
        }
        counted = self._ask(body)["aggregations"]["other-filter"]["buckets"]
        paths = {"-".join(map(str, parent)): (*parent, "__other__") for parent in parents}
        return {paths[key]: bucket["doc_count"] for key, bucket in counted.items() if bucket["doc_count"]}

    def _query(self, one: SavedObject) -> dict[str, Any]:
        source = one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]
        asked = source["query"]
        assert source["filter"] == []
        must: list[Any] = []
        if asked["language"] == "lucene":
            must = [{"query_string": {"query": asked["query"], "analyze_wildcard": True, "time_zone": "UTC"}}]
        else:
            assert asked == {"query": "", "language": "kuery"}
        between = {"gte": _iso(self.since), "lte": _iso(self.until), "format": "strict_date_optional_time"}
        filters = [{"match_all": {}}, {"range": {"@timestamp": between}}]
        return {"bool": {"must": must, "filter": filters, "should": [], "must_not": []}}

    def _ask(self, body: Mapping[str, Any]) -> Any:
        answer = self.client.search(index=self.pattern, body=body, params={"ignore_unavailable": "true"})
        assert (answer["timed_out"], answer["_shards"]["failed"]) == (False, 0)
        return answer


def _nested(buckets: Sequence[Aggregation]) -> dict[str, Any]:
    if not buckets:
        return {}
    first, *others = buckets
    about = {first["type"]: _parameters(first["type"], first["params"])}
    return {first["id"]: {**about, **({"aggs": _nested(others)} if others else {})}}


def _parameters(kind: str, params: Aggregation) -> dict[str, Any]:
    if kind == "date_histogram":
        assert (params["interval"], params["min_doc_count"]) == ("auto", 1)
        return {"field": params["field"], "fixed_interval": "12h", "time_zone": "UTC", "min_doc_count": 1}
    assert params["orderBy"] == "1"
    missing = {"missing": "__missing__"} if params["missingBucket"] else {}
    return {"field": params["field"], "size": params["size"], "order": {"_count": params["order"]}, **missing}


def _flat(
    answer: Mapping[str, Any], buckets: Sequence[Aggregation], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], int]]:
    first, *others = buckets
    for bucket in answer[first["id"]]["buckets"]:
        keys = (*path, bucket["key"])
        if others:
            yield from _flat(bucket, others, keys)
        else:
            yield keys, bucket["doc_count"]


def _slot(moment: int) -> dict[str, Any]:
    bounds = {"gte": _iso(moment), "lt": _iso(moment + INTERVAL_MS), "format": "strict_date_optional_time"}
    return {"range": {"@timestamp": bounds}}


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
