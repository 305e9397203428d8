"""The scene: a log of three months on a real OpenSearch, sealed by checkpoints, for somebody to tamper with.

Entries 1 to 10, 11 to 20 and 21 to 30 of one journal are of three months, and each ten are under a checkpoint of their
own, signed; the checkpoints are in the cluster, on the host, and with a witness.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import orjson

from tests.live.corner import Corner, corner
from whodid.cluster.ledger import CheckpointIndex
from whodid.entry import document_id
from whodid.integrity import entry_hash
from whodid.journal import JournalDirectory
from whodid.proof.checkpoint import SignedCheckpoint
from whodid.proof.keys import PublicKey, new_key
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.verify import Source, Verification, verify_stored

__all__ = ["Evidence", "Scene", "scene"]

Evidence = Literal["chain", "own", "outside"]
"""What there is to verify by: the chain only; own checkpoints, in the cluster and on the host; a witness as well."""

_OF_PERSONAL = ("committed", "salt")

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Scene:
    corner: Corner
    key: PublicKey
    witness: list[SignedCheckpoint] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return self.corner.settings

    @property
    def public_key(self) -> str:
        """The file of the public key of who signs."""
        return f"{self.settings.signing_key_file}.pub"

    @property
    def directory(self) -> JournalDirectory:
        return JournalDirectory(self.settings.journal_dir)

    @property
    def journal(self) -> str:
        journal = self.directory.current()
        assert journal
        return journal

    def record(self, count: int, days_ago: float, target_name: str = "", **keywords: Any) -> None:
        at = iter(range(count))
        start = NOW - timedelta(days=days_ago)
        recorder = self.corner.recorder(clock_ns=lambda: int(start.timestamp() * 1e9) + next(at) * 10**6, **keywords)
        person = {"principal": "42", "client_ip": "203.0.113.9", "principal_name": "Somebody"}
        for number in range(count):
            named = {"target_name": target_name} if target_name else {}
            recorder.record("credentials_created", {"target": str(number), **person, **named})
        recorder.journal.close()

    def seal(self, *, hours_ago: float = 0.0) -> None:
        """Ships all, which closes a checkpoint, and brings that to where checkpoints are kept."""
        then = (NOW - timedelta(hours=hours_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        with patch("whodid.shipping.checkpointing._now", lambda: then):
            self.corner.ship()
        index = CheckpointIndex(self.corner.client, self.settings)
        known = {sealed.key for sealed in self.witness}
        for sealed in closed_checkpoints(self.directory):
            if sealed.key not in known:
                index.keep(sealed)
                self.witness.append(sealed)
        self.corner.client.indices.refresh(index=index.name)

    def verify(
        self, evidence: Evidence, *, now: datetime | None = None, since: object = None, until: object = None
    ) -> Verification:
        self.corner.refresh()
        index = CheckpointIndex(self.corner.client, self.settings)
        self.corner.client.indices.refresh(index=index.name)
        sources = [
            Source(index.name, list(index.each())),
            Source("this host", list(closed_checkpoints(self.directory))),
        ]
        outside = Source("a witness", list(self.witness), outside=True)
        shown = {"chain": [], "own": sources, "outside": [*sources, outside]}[evidence]
        client = AuditClient(self.settings, client=self.corner.client)
        keys = [self.key] if shown else []
        return verify_stored(client, sources=shown, keys=keys, now=now, since=since, until=until, pause=_at_once)

    # What an administrator of the cluster can do.

    def hits(self) -> dict[int, dict[str, Any]]:
        return {hit["_source"]["seq"]: hit for hit in self.corner.stored().values()}

    def put(self, hit: Mapping[str, Any], entry: Mapping[str, Any], *, id_: str | None = None, index: str = "") -> None:
        self.corner.client.index(index=index or hit["_index"], id=id_ or hit["_id"], body=dict(entry))

    def delete(self, *seqs: int) -> None:
        hits = self.hits()
        for seq in seqs:
            self.corner.client.delete(index=hits[seq]["_index"], id=hits[seq]["_id"])
        self.corner.refresh()

    def made_up(self, like: int, **changes: Any) -> dict[str, Any]:
        """An entry with a hash that fits."""
        entry = {name: value for name, value in self.hits()[like]["_source"].items() if name not in _OF_PERSONAL}
        entry |= changes
        entry["hash"] = entry_hash(entry)
        return entry

    def store(self, entry: Mapping[str, Any], index: str) -> None:
        self.corner.client.index(
            index=index, id=document_id(entry["journal"], entry["seq"], entry["hash"]), body=dict(entry)
        )

    def rebuild(self, first: int) -> None:
        """Changes entry `first`, and gives it and all behind it hashes that fit."""
        hits = self.hits()
        prev = hits[first]["_source"]["prev"]
        for seq in range(first, max(hits) + 1):
            entry = self.made_up(seq, prev=prev, **({"target": "another"} if seq == first else {}))
            self.corner.client.delete(index=hits[seq]["_index"], id=hits[seq]["_id"])
            self.store(entry, hits[seq]["_index"])
            prev = entry["hash"]
        self.corner.refresh()

    def forget_checkpoints(self, after: int, *, host: bool) -> None:
        """Deletes the checkpoints behind a number in the cluster, and on the host as well."""
        index = CheckpointIndex(self.corner.client, self.settings)
        body = {"query": {"range": {"number": {"gt": after}}}}
        self.corner.client.delete_by_query(index=index.name, body=body, params={"refresh": "true"})
        if host:
            kept = [one for one in closed_checkpoints(self.directory) if one.checkpoint.number <= after]
            self.directory.checkpoints.write_bytes(b"".join(one.line() + b"\n" for one in kept))

    def another_host(self, path: Path) -> Scene:
        """With a journal of its own, and the same key and witness."""
        there = replace(self.corner, settings=replace(self.settings, journal_dir=str(path)))
        return Scene(there, self.key, self.witness)

    def end_the_journal(self) -> None:
        """Another goes on in its place, with an entry."""
        (self.directory.path / "current").unlink()
        self.record(1, 0)
        self.seal()

    def clone(self, path: Path) -> Scene:
        """A copy of the journal directory that does not know that it is one."""
        shutil.copytree(self.settings.journal_dir, path)
        marker = path / self.journal / "journal.json"
        content = orjson.loads(marker.read_bytes()) | {"inode": marker.stat().st_ino}
        content.pop("generation", None)
        with marker.open("r+b") as file:
            file.truncate()
            file.write(orjson.dumps(content))
        return self.another_host(path)


def _at_once(seconds: float) -> None:
    """A pause of nothing."""


@contextmanager
def scene(url: str, path: Path) -> Iterator[Scene]:
    key = new_key(path / "signing.pem")
    with corner(url, path, signing_key_file=str(path / "signing.pem"), host="web-1", service="shop") as made:
        made.set_up()
        ready = Scene(made, key)
        for days_ago, hours_ago in ((70, 5), (35, 4), (0.1, 3)):
            ready.record(10, days_ago)
            ready.seal(hours_ago=hours_ago)
        yield ready
