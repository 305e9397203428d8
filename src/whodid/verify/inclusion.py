"""The inclusion: shows that one entry was in the log when a checkpoint was closed, without showing any other.

The proof is the entry, the checkpoint over it in its envelope, and the hashes by which the entry's own leads to the
root that the checkpoint names. Whoever trusts the key needs nothing else: not the cluster, not the host.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..cluster.template import index_pattern
from ..entry import why_unreadable
from ..errors import ProofError
from ..integrity import entry_hash
from ..proof.checkpoint import CHECKPOINT, Checkpoint, Sealed
from ..proof.keys import PublicKey, opened
from ..proof.merkle import inclusion_path, leaf_hash, root_by_path
from ..search import AuditClient
from ..search.requests import Asking
from ..text import json_text
from .checkpoints import Statements
from .plan import Part, hits_of, survey

__all__ = ["Inclusion", "Prover", "as_recorded", "check_inclusion"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Inclusion:
    """`index` is the place of the entry among the `size` of its checkpoint, from 0 on; `path` are hashes, hex."""

    entry: Mapping[str, Any]
    index: int
    size: int
    path: tuple[str, ...]
    checkpoint: Mapping[str, Any]

    def to_json(self) -> str:
        content = {
            "format": FORMAT,
            "entry": dict(self.entry),
            "index": self.index,
            "size": self.size,
            "path": list(self.path),
            "checkpoint": dict(self.checkpoint),
        }
        return json_text(content, 1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Inclusion:
        """Raises `ProofError`."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise ProofError(f"a proof of format {content['format']} can't be read here; upgrade whodid")
            path = tuple(map(str, content["path"]))
            return cls(content["entry"], int(content["index"]), int(content["size"]), path, content["checkpoint"])
        except (ValueError, KeyError, TypeError):
            raise ProofError("it is no proof of an entry") from None


class Prover:
    """Makes proofs of entries, by the checkpoints in `statements`."""

    def __init__(self, client: AuditClient, statements: Statements) -> None:
        self._asking = Asking(client.connection, client.settings.opensearch_timeout)
        self._pattern = index_pattern(client.settings)
        self._statements = statements
        self._parts: dict[str, list[Part]] = {}
        self._leaves_of = lru_cache(maxsize=4)(self._leaves)

    def prove(self, entry: Mapping[str, Any]) -> Inclusion:
        """Raises `ProofError` where that can't be shown, and `OpenSearchError`."""
        journal, seq = str(entry.get("journal")), entry.get("seq")
        sealed = self._statements.covering(journal, seq) if type(seq) is int else None
        if sealed is None:
            raise ProofError(
                f"no checkpoint covers entry {seq} of journal {journal} yet; the shipper closes one within the hour"
            )
        index, size, path = self.path(sealed, str(entry.get("hash")), int(str(seq)))
        return Inclusion(entry, index, size, path, sealed.envelope)

    def path(self, sealed: Sealed, hash_: str, seq: int) -> tuple[int, int, tuple[str, ...]]:
        """Index, size and path of an entry under a checkpoint. Raises `ProofError` and `OpenSearchError`."""
        one = sealed.checkpoint
        seqs, leaves = self._leaves_of(sealed.key)
        if len(leaves) != one.entries:
            raise ProofError(
                f"checkpoint {one.number} of journal {one.journal} covers {one.entries:,} entries, and {len(leaves):,} "
                "are stored: the others expired, or were removed (`whodid verify` says which), and without their "
                "hashes nothing can be proven any more"
            )
        try:
            index = seqs.index(seq)
        except ValueError:
            raise ProofError(f"entry {seq} of journal {one.journal} is not stored") from None
        path = inclusion_path(leaves, index)
        leaf = leaf_hash(hash_.encode())
        if leaves[index] != leaf or root_by_path(leaf, index, len(leaves), path).hex() != one.root:
            raise ProofError(
                f"what is stored is not what checkpoint {one.number} of journal {one.journal} was closed over; "
                "`whodid verify` says more"
            )
        return index, len(leaves), tuple(node.hex() for node in path)

    def _leaves(self, key: str) -> tuple[list[int], list[bytes]]:
        """Numbers and leaf hashes of what a checkpoint covers, as far as they are known."""
        one = self._checkpoint(key)
        hashes = dict(one.letters)
        for hit in self._hits(one.journal, one.first_seq, one.last_seq):
            if one.holds(hit["sort"][0]):
                hashes[hit["sort"][0]] = str(hit["_source"].get("hash"))
        seqs = sorted(hashes)
        return seqs, [leaf_hash(hashes[seq].encode()) for seq in seqs]

    def leads(self, one: Checkpoint, entry: Mapping[str, Any]) -> bool:
        """Whether the chain, entry by entry, leads from this one to the hash that the checkpoint over it names."""
        at, before, here = int(entry["seq"]), set[str](), {str(entry["hash"])}
        for hit in self._hits(one.journal, at + 1, one.last_seq):
            number, after = hit["sort"][0], hit["_source"]
            if number > at:
                before, here, at = here if number == at + 1 else set(), set(), number
                if not before:
                    return False
            if str(after.get("prev")) in before and as_recorded(after):
                here.add(after["hash"])
        return at == one.last_seq and one.last_hash in here

    def _hits(self, journal: str, first: int, last: int) -> Iterator[dict[str, Any]]:
        if journal not in self._parts:
            self._parts[journal] = [part for part in survey(self._asking, self._pattern, journal) if part.last]
        parts = self._parts[journal]
        return hits_of(self._asking, parts, first, last) if parts else iter(())

    def _checkpoint(self, key: str) -> Checkpoint:
        journal = key.partition("/")[0]
        return next(one.checkpoint for one in self._statements.by_journal[journal] if one.key == key)


def as_recorded(entry: Mapping[str, Any]) -> bool:
    """Whether the entry's content fits its own hash."""
    try:
        return not why_unreadable(entry) and entry_hash(entry) == entry.get("hash")
    except (ValueError, TypeError, RecursionError):
        return False


def check_inclusion(proof: Inclusion, keys: Collection[PublicKey]) -> tuple[Checkpoint, PublicKey | None]:
    """The checkpoint under which the entry was, and the key that signed it; `None` where none was asked for.

    Raises `ProofError` where the proof does not hold.
    """
    sealed = Sealed.read(proof.checkpoint)
    signed_by = opened(sealed.envelope, CHECKPOINT, keys)[1] if keys else None
    one = sealed.checkpoint
    if why := why_unreadable(proof.entry):
        raise ProofError(why)
    try:
        nodes: Sequence[bytes] = [bytes.fromhex(node) for node in proof.path]
        root = root_by_path(leaf_hash(str(proof.entry.get("hash")).encode()), proof.index, proof.size, nodes)
    except (ValueError, TypeError) as error:
        raise ProofError(f"it does not hold: {error}") from error
    if not as_recorded(proof.entry):
        raise ProofError("the entry's content does not fit its hash: it was changed")
    if (root.hex(), proof.size, proof.entry.get("journal")) != (one.root, one.entries, one.journal):
        raise ProofError("the entry does not lead to the root of the checkpoint")
    return one, signed_by
