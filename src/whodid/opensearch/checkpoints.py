"""The index of checkpoints: what shippers say of their journals, for whoever verifies; kept for ever.

It lies beside the ledger, and apart from it: a shipper must be able to write it, and must not be able to touch holds or
records of destruction. A checkpoint is created once, under a name that its content gives it; the same again changes
nothing, and another one for the same place stands beside it, as evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import NotAuthorized, OpenSearchError, ProofError
from ..proof.checkpoint import Sealed
from ..settings import Settings
from .connection import translated
from .ledger import ledger_name, store
from .template import MARK

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["CheckpointIndex", "checkpoint_index_name"]

_AT_ONCE = 1000

_INDEX = {
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
"""Only `envelope` counts as evidence; the rest finds it."""


def checkpoint_index_name(settings: Settings) -> str:
    return f"{ledger_name(settings)}-checkpoints"


class CheckpointIndex:
    """What whodid does with it. Every method raises `OpenSearchError`. The index is made with its first checkpoint."""

    def __init__(self, client: OpenSearch, settings: Settings) -> None:
        self._client = client
        self.name = checkpoint_index_name(settings)
        self._there = False

    def keep(self, sealed: Sealed) -> None:
        """On disk, and as the cluster keeps its entries, when it returns; the same again is fine."""
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

    def each(self, journal: str | None = None, *, around: int | None = None) -> Iterator[Sealed | ProofError]:
        """All of them, or of one journal, by journal and number; with `around`, those that cover that `seq`.

        What is there and is no checkpoint comes as the error that it is.
        """
        wanted: list[dict[str, Any]] = [{"term": {"journal": journal}}] if journal else []
        if around is not None:
            wanted += [{"range": {"first_seq": {"lte": around}}}, {"range": {"last_seq": {"gte": around}}}]
        body: dict[str, Any] = {"size": _AT_ONCE, "query": {"bool": {"filter": wanted}}, "sort": [{"key": "asc"}]}
        while hits := self._search(body):
            for hit in hits:
                try:
                    yield Sealed.read(hit.get("_source", {}).get("envelope") or {})
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
            raise OpenSearchError(f"{self.name} can't be read as a whole: a shard failed")
        return hits

    def exists(self) -> bool:
        with translated(f"the index {self.name}"):
            return bool(self._client.indices.exists(index=self.name))

    def create(self) -> None:
        """Creates the index; with accounts that is for who administers."""
        from opensearchpy import RequestError

        with translated(f"the index {self.name}"):
            try:
                self._client.indices.create(index=self.name, body=_INDEX)
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
