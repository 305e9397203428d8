"""A corner of a real cluster for one test: an index prefix of its own, made ready, and removed again."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
from opensearchpy import OpenSearch

from whodid.cluster.bulk import Document, Verdict, send_bulk
from whodid.cluster.connection import connect
from whodid.cluster.ledger import checkpoint_index_name, ledger_name
from whodid.cluster.template import index_pattern, template_name
from whodid.journal import read_entries
from whodid.recording.recorder import Recorder
from whodid.retention.ism import policy_name
from whodid.settings import Settings
from whodid.setup.setup import apply, plan
from whodid.shipping import Progress, Shipper

__all__ = ["Corner", "corner", "eventually"]

T = TypeVar("T")


_PAGE = 10_000


@dataclass(frozen=True)
class Corner:
    """`settings` name a journal directory of the test's own and a prefix nobody else has."""

    settings: Settings
    client: OpenSearch

    def arguments(self, *command: str) -> list[str]:
        """The same settings as options of the program."""
        settings = self.settings
        return [
            *command,
            f"--opensearch-hosts={settings.opensearch_hosts[0]}",
            f"--index-prefix={settings.index_prefix}",
            f"--journal-dir={settings.journal_dir}",
        ]

    def set_up(self) -> None:
        apply(plan(self.client, self.settings))

    def recorder(self, **keywords: Any) -> Recorder:
        return Recorder(replace(self.settings, durability="process"), **keywords)

    def record(self, count: int, **fields: object) -> list[dict[str, Any]]:
        """Journals entries with targets 0, 1, 2 …; returns them as journalled."""
        recorder = self.recorder()
        given = {"principal": "42", **fields}
        try:
            lines = [recorder.record("credentials_created", {"target": str(n), **given})[1] for n in range(count)]
        finally:
            recorder.journal.close()
        return [orjson.loads(line) for line in lines]

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        return send_bulk(self.client, documents, 30.0)

    def ship(self) -> Progress:
        """Ships what is journalled, whatever its date, and makes it visible to searches."""
        progress = Shipper(self.settings, self.send).run_once(patience=10)
        self.refresh()
        return progress

    def refresh(self) -> None:
        self.client.indices.refresh(index=index_pattern(self.settings))

    def stored(self) -> dict[str, dict[str, Any]]:
        """What is in the cluster now, by document ID."""
        self.refresh()
        answer = self.client.search(index=index_pattern(self.settings), body={"size": _PAGE, "version": True})
        found = {hit["_id"]: hit for hit in answer["hits"]["hits"]}
        return found if len(found) < _PAGE else self._many()

    def _many(self) -> dict[str, dict[str, Any]]:
        body: dict[str, Any] = {"size": _PAGE, "version": True, "sort": ["journal", "seq", "hash"]}
        found: dict[str, dict[str, Any]] = {}
        while hits := self.client.search(index=index_pattern(self.settings), body=body)["hits"]["hits"]:
            found |= {hit["_id"]: hit for hit in hits}
            body["search_after"] = hits[-1]["sort"]
        return found

    def journalled(self) -> list[dict[str, Any]]:
        return list(read_entries(self.settings.journal_dir))

    def remove(self) -> None:
        """Deletes exactly what a test may have made."""
        made = [index_pattern(self.settings), ledger_name(self.settings), checkpoint_index_name(self.settings)]
        self.client.indices.delete(
            index=",".join(made), params={"ignore_unavailable": "true", "expand_wildcards": "all"}
        )
        if self.client.indices.exists_index_template(name=template_name(self.settings)):
            self.client.indices.delete_index_template(name=template_name(self.settings))
        path = f"/_plugins/_ism/policies/{policy_name(self.settings)}"
        self.client.transport.perform_request("DELETE", path, params={"ignore": (400, 404)})


@contextmanager
def corner(url: str, tmp_path: Path, **settings: Any) -> Iterator[Corner]:
    prefix = f"t{secrets.token_hex(6)}"
    chosen = Settings(
        **{
            "opensearch_hosts": (url,),
            "index_prefix": prefix,
            "journal_dir": str(tmp_path / "journal"),
            "poll_interval": 0.1,
            **settings,
        }
    )
    client = connect(chosen)
    made = Corner(chosen, client)
    try:
        yield made
    finally:
        try:
            made.remove()
        finally:
            client.close()


def eventually(look: Callable[[], T], seconds: float = 120.0) -> T:
    """What `look` returns as soon as that is true; fails after the deadline."""
    deadline = time.monotonic() + seconds
    between = threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        between.wait(0.02)
    return found
