"""The ledger (holds, destruction and erasure records) and the checkpoint index, which outlive the entries.

The roles admin and eraser may write to the ledger, and the auditor may read it (`whodid.setup.roles`).
It is `whodid-ledger`, or `<index_prefix>.ledger` with another prefix: no pattern of partitions matches these names, so
retention never deletes it. A page is written once, and replaced only by a writer that has read its current version.

An erasure record names the erased entries; it counts only if an entry of the log has its hash. A user with rights on
the cluster could write such a page, but not the entry in the chain.

The checkpoint index is separate, since a shipper must be able to write it, but not holds or destruction records. It is
kept for ever. A checkpoint is created once, under a name derived from its content: writing it again changes nothing,
and a different checkpoint for the same position is stored beside it, as evidence.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from ..entry import Stamp, ranges
from ..errors import NotAuthorized, OpenSearchError, ProofError
from ..integrity import canonical
from ..proof.checkpoint import SignedCheckpoint
from ..settings import Settings
from ..text import FOREIGN
from .connection import translated
from .template import MARK

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "ERASED",
    "CheckpointIndex",
    "Erasure",
    "Kind",
    "Ledger",
    "Page",
    "checkpoint_index_name",
    "erased_places",
    "erasures",
    "ledger_name",
    "store",
    "write_erasure",
]

Kind = Literal["hold", "destruction", "erasure"]

_DEFAULT_PREFIX = "whodid-audit"
_AT_ONCE = 1000

_INDEX = {
    "settings": {"index": {"number_of_shards": "1", "auto_expand_replicas": "0-1"}},
    "mappings": {
        "_meta": MARK,
        "dynamic": "strict",
        "properties": {
            "key": {"type": "keyword"},
            "kind": {"type": "keyword"},
            "time": {"type": "date", "format": "strict_date_time_no_millis"},
            "partition": {"type": "keyword"},
            "body": {"type": "object", "enabled": False},
        },
    },
}
"""`body` is the content of the page, which is not searchable."""


@dataclass(frozen=True, slots=True)
class Page:
    """One document: `version` is its sequence number and primary term, needed to replace it."""

    key: str
    kind: Kind
    time: str
    body: Mapping[str, Any]
    version: tuple[int, int]


def store(client: OpenSearch, index: str, key: str, document: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Writes a document unchanged, without any ingest pipeline.

    Raises `OpenSearchError` if OpenSearch reports success but stored it elsewhere or not at all, and the client
    library's errors.
    """
    answer = client.index(index=index, id=key, body=document, params={**params, "pipeline": "_none"})
    if answer.get("result") not in ("created", "updated") or (answer.get("_index"), answer.get("_id")) != (index, key):
        raise OpenSearchError(
            f"{key} was not stored in {index}: OpenSearch answered {answer.get('result')}, {answer.get('_index')}; "
            "remove the ingest pipeline or alias that causes this (index.final_pipeline)"
        )


def ledger_name(settings: Settings) -> str:
    return "whodid-ledger" if settings.index_prefix == _DEFAULT_PREFIX else f"{settings.index_prefix}.ledger"


class Ledger:
    """Reads and writes pages. Every method raises `OpenSearchError`. The index is created with its first page."""

    def __init__(self, client: OpenSearch, settings: Settings) -> None:
        self._client = client
        self.name = ledger_name(settings)

    def pages(self, kind: Kind) -> Iterator[Page]:
        """All pages of a kind, by key; none if there is no ledger yet."""
        body: dict[str, Any] = {
            "size": _AT_ONCE,
            "query": {"term": {"kind": kind}},
            "sort": [{"key": "asc"}],
            "seq_no_primary_term": True,
        }
        while hits := self._search(body):
            with translated(f"the ledger {self.name}"):
                pages, after = [_page(hit) for hit in hits], hits[-1].get("sort")
            yield from pages
            if len(hits) < _AT_ONCE:
                return
            if not after or after == body.get("search_after"):
                raise OpenSearchError(f"the ledger {self.name} can't be read completely: a page was returned twice")
            body["search_after"] = after

    def page(self, key: str) -> Page | None:
        """The current page with that key, or `None`."""
        from opensearchpy import NotFoundError

        with translated(f"the ledger {self.name}"):
            try:
                return _page(self._client.get(index=self.name, id=key))
            except NotFoundError:
                return None

    def write(self, key: str, kind: Kind, body: Mapping[str, Any], *, known: Page | None, partition: str = "") -> None:
        """Creates the page, or replaces exactly `known`; it is durable and searchable on return."""
        self._prepare()
        time = Stamp.now().creation_date
        document = {
            "key": key,
            "kind": kind,
            "time": time,
            "body": body,
            **({"partition": partition} if partition else {}),
        }
        condition: dict[str, Any] = {"op_type": "create"}
        if known:
            condition = {"if_seq_no": known.version[0], "if_primary_term": known.version[1]}
        with translated(f"writing {key} into the ledger {self.name}"):
            store(self._client, self.name, key, document, {**condition, "refresh": "true"})

    def _search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(f"the ledger {self.name}"):
            answer = self._client.search(index=self.name, body=body, params={"ignore_unavailable": "true"})
            failed, hits = answer["_shards"]["failed"], list(answer["hits"]["hits"])
        if failed:
            raise OpenSearchError(f"the ledger {self.name} can't be read completely: {failed} shards failed")
        return hits

    def _prepare(self) -> None:
        from opensearchpy import RequestError

        with translated(f"the ledger {self.name}"):
            if self._client.indices.exists(index=self.name):
                return
            try:
                self._client.indices.create(index=self.name, body=_INDEX)
            except RequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise


def _page(hit: Mapping[str, Any]) -> Page:
    source = hit.get("_source")
    if source is None:
        raise OpenSearchError(f"{hit.get('_id')} in {hit.get('_index')} is stored without its content (_source)")
    key, kind, time, body = source["key"], source["kind"], source["time"], source["body"]
    if not (isinstance(key, str) and isinstance(time, str) and isinstance(body, dict)):
        raise ValueError("no page")
    return Page(key, kind, time, body, (hit["_seq_no"], hit["_primary_term"]))


ERASED = "audit_log_person_erased"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure: `places` are ranges of `seq` by journal: `{"8f14e45fceea167a": "3-5,9"}`."""

    id: str
    principal: str
    reason: str
    by: str
    time: str
    fields: tuple[str, ...]
    places: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """The body of its page."""
        return {**asdict(self), "fields": list(self.fields), "places": dict(self.places)}

    @property
    def digest(self) -> str:
        """SHA-256 of its RFC 8785 bytes, which is in the entry that records it."""
        return sha256(canonical(self.body)).hexdigest()


def write_erasure(
    client: OpenSearch,
    settings: Settings,
    principal: str,
    reason: str,
    by: str,
    fields: Iterable[str],
    places: Mapping[str, str],
) -> Erasure:
    """Writes the page of an erasure and returns it. Raises `OpenSearchError`."""
    time = Stamp.now().creation_date
    one = Erasure(f"e-{secrets.token_hex(6)}", principal, reason, by, time, tuple(sorted(fields)), places)
    Ledger(client, settings).write(f"erasure-{one.id}", "erasure", one.body, known=None)
    return one


def erasures(client: OpenSearch, settings: Settings) -> list[Erasure]:
    """All valid erasures, by time. Raises `OpenSearchError`."""
    found = []
    for page in Ledger(client, settings).pages("erasure"):
        try:
            one = Erasure(**{**page.body, "fields": tuple(page.body["fields"])})
            texts = one.id, one.principal, one.reason, one.by, one.time, *one.fields, *one.places.values()
            one.digest  # noqa: B018 (raises if its values are invalid)
        except FOREIGN:
            continue
        if all(isinstance(text, str) for text in texts):
            found.append(one)
    return sorted(found, key=lambda one: one.time)


def erased_places(found: Iterable[Erasure], vouched: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """Ranges of `seq` by journal, of the erasures whose digest is among `vouched`."""
    known, result = set(vouched), defaultdict[str, list[tuple[int, int]]](list)
    for one in found:
        if one.digest not in known:
            continue
        for journal, text in one.places.items():
            result[journal] += ranges(text)
    return dict(result)


_CHECKPOINTS_INDEX = {
    "settings": {"index": {"number_of_shards": "1", "auto_expand_replicas": "0-1"}},
    "mappings": {
        "_meta": MARK,
        "dynamic": "strict",
        "properties": {
            "key": {"type": "keyword"},
            "journal": {"type": "keyword"},
            "number": {"type": "long"},
            "first_seq": {"type": "long"},
            "last_seq": {"type": "long"},
            "time": {"type": "date", "format": "strict_date_time_no_millis"},
            "envelope": {"type": "object", "enabled": False},
        },
    },
}
"""Only `envelope` is evidence; the other fields are for searches."""


def checkpoint_index_name(settings: Settings) -> str:
    return f"{ledger_name(settings)}-checkpoints"


class CheckpointIndex:
    """Reads and writes checkpoints. Every method raises `OpenSearchError`. The first checkpoint creates the index."""

    def __init__(self, client: OpenSearch, settings: Settings) -> None:
        self._client = client
        self.name = checkpoint_index_name(settings)
        self._there = False

    def keep(self, sealed: SignedCheckpoint) -> None:
        """Stores a checkpoint, durably on return; does nothing if it is stored already."""
        from opensearchpy import ConflictError

        self._prepare()
        one = sealed.checkpoint
        document = {
            "key": sealed.key,
            "journal": one.journal,
            "number": one.number,
            "first_seq": one.first_seq,
            "last_seq": one.last_seq,
            "time": one.time,
            "envelope": sealed.envelope,
        }
        with translated(f"keeping a checkpoint in {self.name}"):
            try:
                store(self._client, self.name, sealed.key, document, {"op_type": "create"})
            except ConflictError:
                return

    def each(self, journal: str | None = None, *, around: int | None = None) -> Iterator[SignedCheckpoint | ProofError]:
        """All checkpoints, or those of one journal, by journal and number; with `around`, those that cover that `seq`.

        A document that is no valid checkpoint is returned as the error.
        """
        wanted: list[dict[str, Any]] = [{"term": {"journal": journal}}] if journal else []
        if around is not None:
            wanted += [{"range": {"first_seq": {"lte": around}}}, {"range": {"last_seq": {"gte": around}}}]
        body: dict[str, Any] = {"size": _AT_ONCE, "query": {"bool": {"filter": wanted}}, "sort": [{"key": "asc"}]}
        while hits := self._search(body):
            for hit in hits:
                try:
                    yield SignedCheckpoint.read(hit.get("_source", {}).get("envelope") or {})
                except ProofError as error:
                    yield ProofError(f"{hit['_id']} in {self.name}: {error}")
            if len(hits) < _AT_ONCE:
                return
            body["search_after"] = hits[-1]["sort"]

    def _search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(f"the checkpoints in {self.name}"):
            answer = self._client.search(index=self.name, body=body, params={"ignore_unavailable": "true"})
            failed, hits = answer["_shards"]["failed"], list(answer["hits"]["hits"])
        if failed:
            raise OpenSearchError(f"{self.name} can't be read completely: a shard failed")
        return hits

    def exists(self) -> bool:
        with translated(f"the index {self.name}"):
            return bool(self._client.indices.exists(index=self.name))

    def create(self) -> None:
        """Creates the index; on a cluster with accounts this needs an administrator."""
        from opensearchpy import RequestError

        with translated(f"the index {self.name}"):
            try:
                self._client.indices.create(index=self.name, body=_CHECKPOINTS_INDEX)
            except RequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise

    def _prepare(self) -> None:
        if not self._there and not self.exists():
            try:
                self.create()
            except NotAuthorized as error:
                raise NotAuthorized(f"there is no index {self.name}: run `whodid setup` as an administrator") from error
        self._there = True
