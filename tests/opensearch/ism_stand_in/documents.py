"""Documents: those of the ledger, stored and found by kind and key; and what searches tell of a partition's entries."""

from __future__ import annotations

from typing import Any

from .answers import Answer, error
from .indices import matching, must_exist
from .jobs import Index

__all__ = ["Documents"]


class Documents:
    """Only what whodid asks: pages of the ledger by `kind`, dates and journals of partitions."""

    def __init__(self, indices: dict[str, Index]) -> None:
        self._indices = indices
        self._stored: dict[tuple[str, str], dict[str, Any]] = {}
        self._seq_no = -1

    def put(self, index: str, key: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        must_exist(self._indices, index)
        known = self._stored.get((self._indices[index].uuid, key))
        where: dict[str, Any] = {"index": index, "shard": "0", "index_uuid": "x"}
        wanted = (query["if_seq_no"], query["if_primary_term"]) if "if_seq_no" in query else None
        if query.get("op_type") == "create" and known:
            reason = f"[{key}]: version conflict, document already exists (current version [1])"
            raise error(409, "version_conflict_engine_exception", reason, **where)
        if wanted and (not known or wanted != (str(known["_seq_no"]), str(known["_primary_term"]))):
            reason = f"[{key}]: version conflict, required seqNo [{wanted[0]}], primary term [{wanted[1]}]."
            raise error(409, "version_conflict_engine_exception", reason, **where)
        self._seq_no += 1
        about = {"_index": index, "_id": key, "_seq_no": self._seq_no, "_primary_term": 1}
        self._stored[self._indices[index].uuid, key] = {**about, "_source": body}
        return 200 if known else 201, {**about, "result": "updated" if known else "created"}

    def get(self, index: str, key: str) -> Answer:
        must_exist(self._indices, index)
        found = self._stored.get((self._indices[index].uuid, key))
        if found is None:
            return 404, {"_index": index, "_id": key, "found": False}
        return 200, {**found, "found": True}

    def update(self, index: str, key: str) -> Answer:
        """Of a document that isn't there; as a real cluster with the Security plugin answers, see test_immutable."""
        must_exist(self._indices, index)
        if self._indices[index].immutable:
            raise error(403, "security_exception", "Index is immutable")
        raise error(404, "document_missing_exception", f"[{key}]: document missing", index=index, shard="0")

    def search(self, expression: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if query.get("ignore_unavailable") != "true":
            must_exist(self._indices, expression)
        found = matching(self._indices, expression)
        for one in found:
            if not one.open and "*" not in expression:
                raise error(400, "index_closed_exception", "closed", index=one.name, index_uuid=one.uuid)
        readable = [one for one in found if one.open and one.health != "red"]
        shards = {"total": len(found), "successful": len(readable), "skipped": 0}
        failed = sum(one.health == "red" for one in found if one.open)
        answer: dict[str, Any] = {"_shards": {**shards, "failed": failed}}
        if "aggs" in body:
            total = sum(one.entries for one in readable)
            answer["hits"] = {"total": {"value": total, "relation": "eq"}, "hits": []}
            answer["aggregations"] = {name: _aggregated(readable, name) for name in body["aggs"]}
        else:
            uuids = {one.uuid for one in readable}
            hits = sorted((hit for (uuid, _), hit in self._stored.items() if uuid in uuids), key=lambda hit: hit["_id"])
            kind = body["query"]["term"]["kind"]
            hits = [{**hit, "sort": [hit["_id"]]} for hit in hits if hit["_source"]["kind"] == kind]
            after = body.get("search_after", [""])[0]
            hits = [hit for hit in hits if hit["_id"] > after][: body["size"]]
            answer["hits"] = {"total": {"value": len(hits), "relation": "eq"}, "hits": hits}
        return 200, answer


def _aggregated(found: list[Index], name: str) -> dict[str, Any]:
    dates = [one.dates for one in found if one.entries]
    if name in {"first", "last"}:
        values = [each[name == "last"] for each in dates]
        if not values:
            return {"value": None}
        return {"value": 1.0, "value_as_string": min(values) if name == "first" else max(values)}
    if name == "partitions":
        return {
            "buckets": [{"key": one.name, "doc_count": one.entries, **_ends([one])} for one in found if one.entries]
        }
    [one] = found
    hits = [{"_source": {"seq": seq, "hash": f"{seq:064x}"}} for seq in (1, one.entries)]
    ends = {end: {"hits": {"hits": [hit]}} for end, hit in zip(("first", "last"), hits, strict=True)}
    return {"buckets": [{"key": {"journal": "j"}, "doc_count": one.entries, **ends}] if one.entries else []}


def _ends(found: list[Index]) -> dict[str, Any]:
    return {end: _aggregated(found, end) for end in ("first", "last")}
