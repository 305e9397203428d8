"""The erasure in OpenSearch: each document is replaced by itself without personal values, if it did not change.

OpenSearch keeps a replaced document in its files until a merge drops it, which `remove_from_files` forces. A merge
skips a segment of which less than a tenth was deleted, so `index.merge.policy.expunge_deletes_allowed` is 0 meanwhile.
A shard also keeps deleted documents for its replicas for half a minute: the merge is repeated until `docs.deleted` is
0 in all copies.

Crash behaviour: the setting stays at 0, which only makes later merges of this kind more thorough.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..cluster.connection import translated
from ..entry import Places
from ..errors import NotAuthorized, OpenSearchError
from ..search import AuditClient, Filter
from ..search.filter import match
from ..search.requests import OLDEST, sort_of
from ..search.value import literal
from .erase_journal import erased_entry, personal_values

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["IMMUTABLE", "Erased", "Left", "erase_stored", "exported_since", "remove_from_files", "snapshots_with"]

IMMUTABLE = (
    "it is immutable (plugins.security.compliance.immutable_indices in opensearch.yml), so its entries can't be "
    "changed; remove it from that setting, or wait until it is deleted"
)

_AT_ONCE = 500
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Left:
    """Entries of a partition that could not be erased, and why."""

    partition: str
    entries: int
    why: str


@dataclass(slots=True)
class Erased:
    """How many entries by partition, the fields that went, and what could not be done."""

    entries: Counter[str] = field(default_factory=Counter)
    places: Places = field(default_factory=Places)
    """Of what is erased now, before or this time."""
    before: set[str] = field(default_factory=set)
    """Partitions with entries that had been erased before."""
    fields: set[str] = field(default_factory=set)
    first: str = ""
    """`creation_date` of the person's first entry."""
    left: list[Left] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.entries.total()


def erase_stored(
    client: AuditClient,
    principal: str,
    *,
    spare: Mapping[str, str],
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Erased:
    """Erases a person's entries, but for those in the partitions of `spare`, which says why not.

    Raises `OpenSearchError` where nothing can be asked; what can't be written is in the answer's `left`.
    """
    who = literal(principal)
    asked = match("principal", who) | match("on_behalf_of", who)
    total, seen = client.count(asked, expired=True), 0
    result = Erased()
    hits = client.hits(asked, sort_of(OLDEST))
    left: dict[tuple[str, str], int] = {}
    while block := list(islice(hits, _AT_ONCE)):
        result.first = result.first or str(block[0]["_source"].get("creation_date"))
        pending = {}
        for hit in block:
            if erased_entry(hit["_source"]) is None:
                if hit["_source"].get("erased"):
                    result.before.add(hit["_index"])
                    _note(result, hit)
                continue
            if hit["_index"] in spare:
                key = hit["_index"], spare[hit["_index"]]
                left[key] = left.get(key, 0) + 1
                continue
            result.fields |= set(personal_values(hit["_source"]))
            pending[hit["_index"], hit["_id"]] = hit
        refused = {} if dry_run else _erase(client.connection, pending)
        for place in pending:
            if place in refused:
                key = place[0], refused[place]
                left[key] = left.get(key, 0) + 1
            else:
                result.entries[place[0]] += 1
                _note(result, pending[place])
        seen += len(block)
        on_progress(seen, total)
    if result.entries and not dry_run:
        with translated("the entries"):
            client.connection.indices.refresh(index=",".join(result.entries))
    result.left = [Left(partition, count, why) for (partition, why), count in sorted(left.items())]
    return result


def _note(result: Erased, hit: Mapping[str, Any]) -> None:
    journal, seq = hit["_source"].get("journal"), hit["_source"].get("seq")
    if isinstance(journal, str) and type(seq) is int and seq > 0:
        result.places.add(journal, seq)


_Place = tuple[str, str]


def _erase(connection: OpenSearch, pending: Mapping[_Place, Any]) -> dict[_Place, str]:
    """Writes the documents without their personal values; those that could not be written, and why."""
    waiting, refused = dict(pending), dict[_Place, str]()
    for _ in range(_TRIES):
        if not waiting:
            return refused
        again = {}
        for place, (status, why) in _write(connection, _as_they_are(connection, list(waiting))).items():
            if status == 409:  # somebody changed it in between
                again[place] = waiting[place]
            elif status >= 300:
                refused[place] = why
        waiting = again
    return refused | dict.fromkeys(waiting, "it was changed repeatedly; run the same command again")


def _as_they_are(connection: OpenSearch, places: list[_Place]) -> Iterator[tuple[_Place, dict[str, Any], int, int]]:
    body = {"docs": [{"_index": index, "_id": name} for index, name in places]}
    with translated("the entries"):
        found = connection.mget(body=body)["docs"]
    for place, one in zip(places, found, strict=True):
        if one.get("found") and (entry := erased_entry(one.get("_source", {}))) is not None:
            yield place, entry, one["_seq_no"], one["_primary_term"]


def _write(
    connection: OpenSearch, documents: Iterator[tuple[_Place, dict[str, Any], int, int]]
) -> dict[_Place, tuple[int, str]]:
    lines: list[str] = []
    places: list[_Place] = []
    for (index, name), entry, seq_no, term in documents:
        places.append((index, name))
        lines += (
            json.dumps({"index": {"_index": index, "_id": name, "if_seq_no": seq_no, "if_primary_term": term}}),
            json.dumps(entry, ensure_ascii=False),
        )
    if not lines:
        return {}
    with translated("erasing entries"):
        answer = connection.bulk(body="\n".join(lines) + "\n", params={"pipeline": "_none"})
    return {place: _outcome(item) for place, item in zip(places, answer["items"], strict=True)}


def _outcome(item: Mapping[str, Any]) -> tuple[int, str]:
    """Status, and why. What was asked for is `index`; of what is immutable the Security plugin makes it `create`."""
    [(action, result)] = item.items()
    if action != "index":
        return 403, IMMUTABLE
    if result["status"] < 300 and result.get("result") != "updated":
        return 403, "a pipeline drops what is written; remove index.final_pipeline, and run the same command again"
    return result["status"], _why(result.get("error"))


def _why(error: Any) -> str:
    """Why an entry can't be written, and what to do."""
    text = f"{error.get('type')}: {error.get('reason')}" if isinstance(error, Mapping) else str(error)
    if "cluster_block" in text:
        return "this partition is write-blocked; remove index.blocks.write, and run the same command again"
    if "index_closed" in text:
        return "this partition is closed; open it, and run the same command again"
    return text


def snapshots_with(connection: OpenSearch, partitions: set[str]) -> list[str]:
    """`repository/snapshot` of each snapshot that holds one of them, as far as this user may see."""
    found = []
    try:
        with translated("the snapshots"):
            repositories = connection.snapshot.get_repository()
            for repository in repositories:
                for snapshot in connection.snapshot.get(repository=repository, snapshot="_all")["snapshots"]:
                    if partitions & set(snapshot["indices"]):
                        found.append(f"{repository}/{snapshot['snapshot']}")
    except NotAuthorized:
        return ["(this user may not look at snapshots)"]
    except OpenSearchError as error:
        return [f"(snapshots can't be looked at: {error})"]
    return found


def exported_since(client: AuditClient, first: str) -> list[dict[str, Any]]:
    """The recorded exports since the person's first entry: what they took away still holds the values."""
    asked = Filter.of(type="audit_log_exported", since=first or None)
    found = (hit["_source"] for hit in client.hits(asked, sort_of(OLDEST)))
    return [
        {"time": entry.get("creation_date"), "by": entry.get("principal"), **(entry.get("details") or {})}
        for entry in found
    ]


_ALLOWED = "index.merge.policy.expunge_deletes_allowed"
_PAUSE = 2.0

Progress = Callable[[int, int], None]


def remove_from_files(
    connection: OpenSearch,
    partitions: Iterable[str],
    *,
    patience: float = 300.0,
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, str]:
    """Has OpenSearch remove replaced documents from the files of partitions, and waits for it.

    Parameters
    ----------
    connection, partitions
        A client of the cluster, and the names of the partitions in which entries were erased.
    patience
        Seconds to wait in all.

    Returns the partitions whose files may still hold old values, each with the reason. Raises nothing: what the cluster
    refuses is in the answer, too.
    """
    left = dict.fromkeys(sorted(partitions), "")
    total, deadline = len(left), monotonic() + patience
    while left:
        for name in [*left]:
            try:
                left[name] = _merged(connection, name)
            except OpenSearchError as error:
                left[name] = _why_left(error)
            if not left[name]:
                del left[name]
        on_progress(total - len(left), total)
        if not left or monotonic() >= deadline:
            break
        pause(_PAUSE)
    return left


def _merged(connection: OpenSearch, partition: str) -> str:
    """Asks for a merge if there is anything to be merged away; says what is left, empty for nothing."""
    if not (before := _deleted(connection, partition)):
        return ""
    with translated(f"merging {partition}"):
        connection.indices.put_settings(index=partition, body={_ALLOWED: 0})
        try:
            connection.indices.flush(index=partition)
            connection.indices.forcemerge(index=partition, params={"only_expunge_deletes": "true", "flush": "true"})
        finally:
            connection.indices.put_settings(index=partition, body={_ALLOWED: None})
    left = _deleted(connection, partition)
    return f"{left:,} of {before:,} replaced documents are still in its files" if left else ""


def _deleted(connection: OpenSearch, partition: str) -> int:
    """In all copies of it."""
    with translated(f"the files of {partition}"):
        stats: Any = connection.indices.stats(index=partition, metric="docs")
    return int(stats["_all"]["total"]["docs"]["deleted"])


def _why_left(error: OpenSearchError) -> str:
    if isinstance(error, NotAuthorized):
        return "this user may not merge its files: give the role whodid_eraser, or do it as an administrator"
    return f"its files could not be merged: {error}"
