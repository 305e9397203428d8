"""Inclusion proofs: show that one entry was in the log when a checkpoint was closed, without showing any other.

A proof is the entry, the signed checkpoint that covers it, and the hashes that lead from the entry's hash to the
checkpoint's Merkle root. To check it, the public key is enough; neither the cluster nor the host is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..cluster.template import index_pattern
from ..entry import why_unreadable
from ..errors import ProofError
from ..integrity import entry_hash
from ..proof.checkpoint import CHECKPOINT, Checkpoint, SignedCheckpoint
from ..proof.keys import PublicKey, open_envelope
from ..proof.merkle import inclusion_path, leaf_hash, root_by_path
from ..search import AuditClient
from ..search.requests import Searcher
from ..text import FOREIGN, json_of, json_text, text_of
from .checkpoints import TrustedCheckpoints
from .plan import Part, hits_of, survey

__all__ = ["Inclusion", "Prover", "as_recorded", "check_inclusion"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proof: the entry is number `index`, from 0, among the `size` of its checkpoint; `path` has hashes in hex."""

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
        """Reads a proof. Raises `ProofError`, whatever the text is."""
        try:
            match json_of(text if isinstance(text, bytes) else text.encode()):
                case {"format": int(version)} if version != FORMAT:
                    raise ProofError(f"this whodid can't read a proof of format {version}; upgrade whodid")
                case {
                    "format": 1,
                    "entry": dict(entry),
                    "index": int(index),
                    "size": int(size),
                    "path": list(path),
                    "checkpoint": dict(checkpoint),
                }:
                    return cls(entry, index, size, tuple(map(text_of, path)), checkpoint)
        except FOREIGN:
            pass
        raise ProofError("it is not a proof of an entry")


class Prover:
    """Makes proofs of entries from trusted checkpoints."""

    def __init__(self, client: AuditClient, trusted: TrustedCheckpoints) -> None:
        self._searcher = Searcher(client.connection, client.settings.opensearch_timeout)
        self._pattern = index_pattern(client.settings)
        self._trusted = trusted
        self._parts: dict[str, list[Part]] = {}
        self._leaves_of = lru_cache(maxsize=4)(self._leaves)

    def prove(self, entry: Mapping[str, Any]) -> Inclusion:
        """Makes the proof of an entry. Raises `ProofError` if there is none, and `OpenSearchError`."""
        journal, seq = str(entry.get("journal")), entry.get("seq")
        signed = self._trusted.covering(journal, seq) if type(seq) is int else None
        if signed is None:
            raise ProofError(
                f"no checkpoint covers entry {seq} of journal {journal} yet; the shipper closes one within the hour"
            )
        return Inclusion(entry, *self.path(signed, str(entry.get("hash")), int(str(seq))), signed.envelope)

    def path(self, signed: SignedCheckpoint, hash_: str, seq: int) -> tuple[int, int, tuple[str, ...]]:
        """Index, size and path of an entry under a checkpoint. Raises `ProofError` and `OpenSearchError`."""
        one = signed.checkpoint
        seqs, leaves = self._leaves_of(signed.key)
        if len(leaves) != one.entries:
            raise ProofError(
                f"checkpoint {one.number} of journal {one.journal} covers {one.entries:,} entries, but only "
                f"{len(leaves):,} are stored: the others expired or were removed (`whodid verify` says which), and "
                "nothing can be proven without their hashes"
            )
        try:
            index = seqs.index(seq)
        except ValueError:
            raise ProofError(f"entry {seq} of journal {one.journal} is not stored") from None
        path = inclusion_path(leaves, index)
        leaf = leaf_hash(hash_.encode())
        if leaves[index] != leaf or root_by_path(leaf, index, len(leaves), path).hex() != one.root:
            raise ProofError(
                f"the stored entries are not those that checkpoint {one.number} of journal {one.journal} covers; "
                "run `whodid verify`"
            )
        return index, len(leaves), tuple(node.hex() for node in path)

    def _leaves(self, key: str) -> tuple[list[int], list[bytes]]:
        """The numbers and leaf hashes of the entries that a checkpoint covers and that are known."""
        one = self._checkpoint(key)
        hashes = dict(one.letters)
        for hit in self._hits(one.journal, one.first_seq, one.last_seq):
            if one.holds(hit["sort"][0]):
                hashes[hit["sort"][0]] = str(hit["_source"].get("hash"))
        seqs = sorted(hashes)
        return seqs, [leaf_hash(hashes[seq].encode()) for seq in seqs]

    def leads(self, one: Checkpoint, entry: Mapping[str, Any]) -> bool:
        """Whether the chain leads, entry by entry, from this entry to the last hash of the checkpoint."""
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
            self._parts[journal] = [part for part in survey(self._searcher, self._pattern, journal) if part.last]
        parts = self._parts[journal]
        return hits_of(self._searcher, parts, first, last) if parts else iter(())

    def _checkpoint(self, key: str) -> Checkpoint:
        journal = key.partition("/")[0]
        return next(one.checkpoint for one in self._trusted.by_journal[journal] if one.key == key)


def as_recorded(entry: Mapping[str, Any]) -> bool:
    """Whether the entry's content matches its own hash."""
    try:
        return not why_unreadable(entry) and entry_hash(entry) == entry.get("hash")
    except (ValueError, TypeError, RecursionError):
        return False


def check_inclusion(proof: Inclusion, keys: Collection[PublicKey]) -> tuple[Checkpoint, PublicKey | None]:
    """Checks a proof; returns its checkpoint, and which of the keys signed it (`None` without `keys`).

    Raises `ProofError` if the proof does not hold.
    """
    signed = SignedCheckpoint.read(proof.checkpoint)
    signed_by = open_envelope(signed.envelope, CHECKPOINT, keys)[1] if keys else None
    one = signed.checkpoint
    if why := why_unreadable(proof.entry):
        raise ProofError(why)
    try:
        nodes: Sequence[bytes] = [bytes.fromhex(node) for node in proof.path]
        root = root_by_path(leaf_hash(str(proof.entry.get("hash")).encode()), proof.index, proof.size, nodes)
    except (ValueError, TypeError) as error:
        raise ProofError(f"the proof is not valid: {error}") from error
    if not as_recorded(proof.entry):
        raise ProofError("hash mismatch: the entry was changed")
    if (root.hex(), proof.size, proof.entry.get("journal")) != (one.root, one.entries, one.journal):
        raise ProofError("the entry does not lead to the root of the checkpoint")
    return one, signed_by
