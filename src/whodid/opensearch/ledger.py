"""The ledger: an index of its own for what must outlive the entries: holds, records of what was destroyed or erased.

It is `whodid-ledger`, or `<index_prefix>.ledger` beside a prefix of one's own: no pattern of partitions matches these
names, so no retention reaches it. A page is written once, and replaced only by who read it as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..entry import Stamp
from ..errors import OpenSearchError
from ..settings import Settings
from .connection import translated
from .template import MARK

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Kind", "Ledger", "Page", "ledger_name", "store"]

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
"""`body` is what the kind of page says; nothing in it is searched by."""


@dataclass(frozen=True, slots=True)
class Page:
    """One document: `version` is its sequence number and primary term, by which it is replaced."""

    key: str
    kind: Kind
    time: str
    body: Mapping[str, Any]
    version: tuple[int, int]


def store(client: OpenSearch, index: str, key: str, document: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Writes a document as it is, past any ingest pipeline that would change or drop it.

    Raises `OpenSearchError` where OpenSearch answers well and did something else, and the client library's errors.
    """
    answer = client.index(index=index, id=key, body=document, params={**params, "pipeline": "_none"})
    if answer.get("result") not in ("created", "updated") or (answer.get("_index"), answer.get("_id")) != (index, key):
        raise OpenSearchError(
            f"{key} was not stored in {index}: OpenSearch answered {answer.get('result')}, {answer.get('_index')}; "
            "remove the ingest pipeline or alias that does so (index.final_pipeline)"
        )


def ledger_name(settings: Settings) -> str:
    return "whodid-ledger" if settings.index_prefix == _DEFAULT_PREFIX else f"{settings.index_prefix}.ledger"


class Ledger:
    """What whodid does with it. Every method raises `OpenSearchError`. The index is made with its first page."""

    def __init__(self, client: OpenSearch, settings: Settings) -> None:
        self._client = client
        self.name = ledger_name(settings)

    def pages(self, kind: Kind) -> Iterator[Page]:
        """All pages of a kind, by key; none where there is no ledger yet."""
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
                raise OpenSearchError(f"the ledger {self.name} can't be read to its end: the same page came twice")
            body["search_after"] = after

    def page(self, key: str) -> Page | None:
        """The page of that key, as it was stored last."""
        from opensearchpy import NotFoundError

        with translated(f"the ledger {self.name}"):
            try:
                return _page(self._client.get(index=self.name, id=key))
            except NotFoundError:
                return None

    def write(self, key: str, kind: Kind, body: Mapping[str, Any], *, known: Page | None, partition: str = "") -> None:
        """Makes the page, or replaces exactly `known`; on disk, and found by searches, when it returns."""
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
            raise OpenSearchError(f"the ledger {self.name} can't be read as a whole: {failed} shards failed")
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
