"""What a browser with Dashboards open sends to OpenSearch for a saved search or a visualization, and what it draws.

Made after Dashboards' source: Discover wants highlights of every field, a column of names is a `top_hits`, and the
"Other" of a `terms` aggregation is counted by a second request, with the aggregations inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opensearchpy import OpenSearch

from tests.opensearch.dql import dql_query
from whodid.entry import FIELDS
from whodid.setup.dashboards import SavedObject

__all__ = ["INTERVAL_MS", "Browser"]

INTERVAL_MS = 12 * 3600 * 1000
"""The width of a bar when `auto` is asked for 30 days."""

Row = tuple[Any, ...]
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

    def rows(self, visualization: SavedObject) -> list[Row]:
        """What is drawn: the keys of the buckets and then the metrics. What is left over is `__other__`."""
        aggregations = visualization.attributes["visState"]["aggs"]
        metrics = [one for one in aggregations if one["schema"] == "metric"]
        first, *others = buckets = [one for one in aggregations if one["schema"] != "metric"]
        body = {"size": 0, "query": self._query(visualization), "aggs": _nested(buckets, metrics)}
        found = list(_flat(self._ask(body)["aggregations"], buckets, metrics))
        if first["params"].get("otherBucket"):
            keys = list(dict.fromkeys(row[0] for row in found))
            body["aggs"] = {first["id"]: _left_over(first["params"], keys) | _inside(others, metrics)}
            found += [row for row in _flat(self._ask(body)["aggregations"], buckets, metrics) if row[-1]]
        return found

    def _query(self, one: SavedObject) -> dict[str, Any]:
        source = one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]
        assert source["filter"] == []
        must = [_in_dql(source["query"])]
        between = {"gte": _iso(self.since), "lte": _iso(self.until), "format": "strict_date_optional_time"}
        filters = [{"match_all": {}}, {"range": {"@timestamp": between}}]
        return {"bool": {"must": must, "filter": filters, "should": [], "must_not": []}}

    def _ask(self, body: Mapping[str, Any]) -> Any:
        answer = self.client.search(index=self.pattern, body=body, params={"ignore_unavailable": "true"})
        assert (answer["timed_out"], answer["_shards"]["failed"]) == (False, 0)
        return answer


def _in_dql(asked: Mapping[str, str]) -> dict[str, Any]:
    assert asked["language"] == "kuery"
    return dql_query(asked["query"])


def _nested(buckets: Sequence[Aggregation], metrics: Sequence[Aggregation]) -> dict[str, Any]:
    if not buckets:
        return {one["id"]: {one["type"]: _parameters(one)} for one in metrics if one["type"] != "count"}
    first, *others = buckets
    return {first["id"]: {first["type"]: _parameters(first), **_inside(others, metrics)}}


def _inside(buckets: Sequence[Aggregation], metrics: Sequence[Aggregation]) -> dict[str, Any]:
    return {"aggs": inner} if (inner := _nested(buckets, metrics)) else {}


def _parameters(one: Aggregation) -> dict[str, Any]:
    params = one["params"]
    match one["type"]:
        case "date_histogram":
            assert (params["interval"], params["min_doc_count"]) == ("auto", 1)
            return {"field": params["field"], "fixed_interval": "12h", "time_zone": "UTC", "min_doc_count": 1}
        case "filters":
            return {"filters": {each["label"]: _in_dql(each["input"]) for each in params["filters"]}}
        case "cardinality":
            return {"field": params["field"]}
        case "top_hits":
            shown = {"docvalue_fields": [{"field": params["field"]}], "_source": params["field"]}
            return {"size": params["size"], "sort": [{params["sortField"]: {"order": params["sortOrder"]}}], **shown}
    by = "_count" if params["orderBy"] == "1" else params["orderBy"]
    missing = {"missing": "__missing__"} if params["missingBucket"] else {}
    return {"field": params["field"], "size": params["size"], "order": {by: params["order"]}, **missing}


def _left_over(params: Aggregation, keys: Sequence[Any]) -> dict[str, Any]:
    without = [{"match_phrase": {params["field"]: key}} for key in keys if key != "__missing__"]
    within = [] if params["missingBucket"] and "__missing__" not in keys else [{"exists": {"field": params["field"]}}]
    return {"filters": {"filters": {"__other__": {"bool": {"filter": within, "must_not": without}}}}}


def _flat(
    answer: Mapping[str, Any], buckets: Sequence[Aggregation], metrics: Sequence[Aggregation], path: Row = ()
) -> Iterator[Row]:
    if not buckets:
        yield (*path, *(_measured(answer, one) for one in metrics))
        return
    first, *others = buckets
    found = answer[first["id"]]["buckets"]
    keyed = ((bucket["key"], bucket) for bucket in found)
    if isinstance(found, dict):  # OpenSearch sorts filters by their keys, Dashboards shows them as they were given
        given = [one["label"] for one in first["params"].get("filters", ())]
        keyed = ((key, found[key]) for key in given or found)
    for key, bucket in keyed:
        yield from _flat(bucket, others, metrics, (*path, key))


def _measured(bucket: Mapping[str, Any], metric: Aggregation) -> Any:
    match metric["type"]:
        case "count":
            return bucket["doc_count"]
        case "cardinality":
            return bucket[metric["id"]]["value"]
    [hit] = bucket[metric["id"]]["hits"]["hits"]
    return ", ".join(hit.get("fields", {}).get(metric["params"]["field"], ())) or None


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
