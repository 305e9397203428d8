"""The checkpoint: a signed statement of how far a journal had come, and what it held, at that time.

It covers the entries behind the checkpoint before it, up to one whose hash it names: by the chain, that hash stands for
every entry up to there. The Merkle root over their hashes lets each of them be shown by itself. Checkpoints are
numbered, and each names the hash of the one before, so that none can be left out unseen.

What is signed are the RFC 8785 bytes of the checkpoint, in a DSSE envelope; its own hash is SHA-256 of these bytes.
Where nobody signs, the envelope has no signature, and the checkpoint shows only that nothing was changed by who can't
change the checkpoints. docs/reference/format.md has the specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, Literal, get_args

import orjson

from ..entry import parse_creation_date
from ..errors import ProofError
from ..integrity import canonical
from ..text import FOREIGN
from .keys import PublicKey, Signer, payload_of, sealed

__all__ = ["CHECKPOINT", "Checkpoint", "Sealed", "Why"]

CHECKPOINT = "application/vnd.whodid.checkpoint+json"
"""What an envelope around a checkpoint says that it holds."""

FORMAT = 1
_LONGEST = 10**9
"""Seconds between two checkpoints, at most: more is no time that can be waited for."""

Why = Literal["begun", "time", "size", "stop", "ended", "key"]
"""The first one, before anything was shipped under checkpoints; an hour was over; a million entries were together; the
shipper was stopped with all of it shipped; the journal has ended, and another goes on in its place; another key signs
from now on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Entries `first_seq` to `last_seq` of a journal; with `entries` = 0 there were none since the one before."""

    journal: str
    number: int
    """1, 2, 3 …"""
    first_seq: int
    last_seq: int
    last_hash: str
    """The hash of entry `last_seq`; 64 zeros before the first entry."""
    entries: int
    """Fewer than the numbers suggest where lines were damaged in the journal, or missing: `holes`."""
    root: str
    """The Merkle root (RFC 6962) over the `hash`es of the entries, hex."""
    partitions: Mapping[str, int]
    """How many of them were sent into which partition; those of a 25th partition and more are counted as `*`."""
    holes: tuple[tuple[int, int], ...]
    """First and last `seq` of what was damaged in the journal, or missing, and so is in no tree; 24 of them at most."""
    dead_letters: int
    """How many of them OpenSearch had refused for good."""
    letters: tuple[tuple[int, str], ...]
    """`seq` and `hash` of those that were dead letters still when the checkpoint was closed; 1,000 of them at most."""
    previous: str
    """The hash of the checkpoint before; 64 zeros for the first."""
    time: str
    """When it was closed, by the clock of its host: `YYYY-MM-DDTHH:MM:SSZ`."""
    why: Why
    interval: int
    """Seconds after which the next one is due, unless this is the last, or one at a stop."""
    host: str
    service: str
    index_prefix: str
    whodid: str
    """The version that closed it."""
    keys: tuple[str, ...] = ()
    """Where the key is changed: the public key until now and that from now on, 32 bytes in hex; both sign it."""

    def holds(self, seq: int) -> bool:
        """Whether the entry of that number is in the tree; one in a hole may have been found and shipped afterwards."""
        return not any(first <= seq <= last for first, last in self.holes)

    def payload(self) -> bytes:
        """The bytes that are signed."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {"format": FORMAT, "holes": [*map(list, self.holes)], "letters": [*map(list, self.letters)]}
        content |= {"partitions": dict(self.partitions), "keys": [*self.keys]}
        if not self.keys:
            del content["keys"]
        return canonical(content)

    @property
    def hash(self) -> str:
        return sha256(self.payload()).hexdigest()

    def sealed(self, *signers: Signer) -> Sealed:
        """The checkpoint in its envelope. Raises `ProofError` where it can't be signed."""
        payload = self.payload()
        return Sealed(self, sha256(payload).hexdigest(), sealed(payload, CHECKPOINT, *signers))

    @property
    def change(self) -> tuple[PublicKey, PublicKey] | None:
        """The key until now and that from now on, where it says that the key is changed."""
        if len(self.keys) != 2:
            return None
        old, new = (PublicKey(bytes.fromhex(key)) for key in self.keys)
        return old, new


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint with its envelope, as it is kept; whether it was signed is another question."""

    checkpoint: Checkpoint
    hash: str
    envelope: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Under what it is kept: another for another content, and in the order of the numbers."""
        one = self.checkpoint
        return f"{one.journal}/{one.number:08d}-{self.hash[:16]}"

    def line(self) -> bytes:
        """The envelope as one line of JSON, without a newline."""
        return orjson.dumps(self.envelope)

    @classmethod
    def read(cls, data: bytes | Mapping[str, Any]) -> Sealed:
        """The checkpoint in an envelope. Raises `ProofError` where it is none."""
        try:
            envelope = orjson.loads(data) if isinstance(data, bytes) else data
        except ValueError:
            raise ProofError("it is no JSON") from None
        payload = payload_of(envelope, CHECKPOINT)
        return cls(_checkpoint(payload), sha256(payload).hexdigest(), envelope)


def _checkpoint(payload: bytes) -> Checkpoint:
    try:
        content = {"keys": [], **orjson.loads(payload)}
        version = content["format"]
        if version != FORMAT:
            raise ProofError(f"a checkpoint of format {version} can't be read here; upgrade whodid")
        one = Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})
        plain = (one.journal, one.last_hash, one.root, one.previous, one.host, one.service, one.index_prefix)
        numbers = [one.number, one.first_seq, one.last_seq, one.entries, one.dead_letters, one.interval]
        numbers += one.partitions.values()
        if not all(type(text) is str for text in plain) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ProofError("it is no checkpoint, or a damaged one")
        if parse_creation_date(one.time) is None or one.why not in get_args(Why) or one.interval > _LONGEST:
            raise ProofError("it is no checkpoint, or a damaged one")
        holes = tuple((int(first), int(last)) for first, last in one.holes)
        letters = tuple((int(seq), str(hash_)) for seq, hash_ in one.letters)
        keys = tuple(bytes.fromhex(key).hex() for key in one.keys)
        if len(keys) not in (0, 2) or any(len(key) != 64 for key in keys):
            raise ProofError("it is no checkpoint, or a damaged one")
    except FOREIGN:
        raise ProofError("it is no checkpoint, or a damaged one") from None
    return replace(one, holes=holes, letters=letters, keys=keys)
