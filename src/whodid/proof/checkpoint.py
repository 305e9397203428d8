"""The checkpoint: a signed statement of how far a journal had come at a given time, and what it contained.

It covers the entries after the previous checkpoint, up to one whose hash it names. By the chain, that hash stands for
every entry up to there. With the Merkle root over their hashes, each entry can be proven by itself. Checkpoints are
numbered, and each names the hash of the previous one, so that none can be left out unnoticed.

The RFC 8785 bytes of the checkpoint are signed, in a DSSE envelope; its hash is the SHA-256 of these bytes. If no
signing key is configured, the envelope has no signature, and the checkpoint only proves that nobody changed the log who
could not change the checkpoints, too. docs/reference/format.md has the specification.
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
from .keys import PublicKey, Signer, envelope_of, payload_of

__all__ = ["CHECKPOINT", "Checkpoint", "SignedCheckpoint", "Why"]

CHECKPOINT = "application/vnd.whodid.checkpoint+json"
"""The payload type of the envelope of a checkpoint."""

FORMAT = 1
_LONGEST = 10**9
"""The longest interval between two checkpoints, in seconds."""

Why = Literal["begun", "time", "size", "stop", "ended", "key"]
"""Why a checkpoint was closed. `begun`: it is the first one, closed before anything was shipped. `time`: an hour was
over. `size`: it covers a million entries. `stop`: the shipper was stopped with everything shipped. `ended`: the journal
has ended, and another replaces it. `key`: another key signs from now on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint over entries `first_seq` to `last_seq` of a journal; `entries` is 0 if there were no new ones."""

    journal: str
    number: int
    """1, 2, 3 …"""
    first_seq: int
    last_seq: int
    last_hash: str
    """The hash of entry `last_seq`; 64 zeros before the first entry."""
    entries: int
    """The number of entries, without those in `holes`."""
    root: str
    """The Merkle root (RFC 6962) over the `hash`es of the entries, hex."""
    partitions: Mapping[str, int]
    """The number of entries by partition; those beyond the 24th partition are counted as `*`."""
    holes: tuple[tuple[int, int], ...]
    """First and last `seq` of ranges damaged or missing in the journal, and so not in the tree; at most 24."""
    dead_letters: int
    """How many of the entries OpenSearch had refused for good."""
    letters: tuple[tuple[int, str], ...]
    """`seq` and `hash` of the entries that were still dead letters when the checkpoint was closed; at most 1,000."""
    previous: str
    """The hash of the previous checkpoint; 64 zeros for the first."""
    time: str
    """When it was closed, by its host's clock: `YYYY-MM-DDTHH:MM:SSZ`."""
    why: Why
    interval: int
    """Seconds until the next checkpoint is due, unless this one was closed at a stop or at the end."""
    host: str
    service: str
    index_prefix: str
    whodid: str
    """The version of whodid that closed it."""
    keys: tuple[str, ...] = ()
    """For a change of keys: the old and the new public key, 32 bytes in hex. Both sign the checkpoint."""

    def holds(self, seq: int) -> bool:
        """Whether the entry is in the tree; one in a hole is not, even if it was found and shipped later."""
        return not any(first <= seq <= last for first, last in self.holes)

    def payload(self) -> bytes:
        """Returns the bytes that are signed."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {"format": FORMAT, "holes": [*map(list, self.holes)], "letters": [*map(list, self.letters)]}
        content |= {"partitions": dict(self.partitions), "keys": [*self.keys]}
        if not self.keys:
            del content["keys"]
        return canonical(content)

    @property
    def hash(self) -> str:
        return sha256(self.payload()).hexdigest()

    def sign(self, *signers: Signer) -> SignedCheckpoint:
        """Puts the checkpoint into an envelope, signed by each signer. Raises `ProofError` if it can't be signed."""
        payload = self.payload()
        return SignedCheckpoint(self, sha256(payload).hexdigest(), envelope_of(payload, CHECKPOINT, *signers))

    @property
    def change(self) -> tuple[PublicKey, PublicKey] | None:
        """The old and the new key; `None` unless the checkpoint records a change of keys."""
        if len(self.keys) != 2:
            return None
        old, new = (PublicKey(bytes.fromhex(key)) for key in self.keys)
        return old, new


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint in its envelope, as it is stored. The envelope may have no signature; nothing was verified."""

    checkpoint: Checkpoint
    hash: str
    envelope: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The storage key: it depends on the content, and sorts by number."""
        one = self.checkpoint
        return f"{one.journal}/{one.number:08d}-{self.hash[:16]}"

    def line(self) -> bytes:
        """Returns the envelope as one line of JSON, without a newline."""
        return orjson.dumps(self.envelope)

    @classmethod
    def read(cls, data: bytes | Mapping[str, Any]) -> SignedCheckpoint:
        """Reads a checkpoint from its envelope. Raises `ProofError` if it is damaged, or something else."""
        try:
            envelope = orjson.loads(data) if isinstance(data, bytes) else data
        except ValueError:
            raise ProofError("it is not JSON") from None
        payload = payload_of(envelope, CHECKPOINT)
        return cls(_checkpoint(payload), sha256(payload).hexdigest(), envelope)


def _checkpoint(payload: bytes) -> Checkpoint:
    try:
        content = {"keys": [], **orjson.loads(payload)}
        version = content["format"]
        if version != FORMAT:
            raise ProofError(f"this whodid can't read a checkpoint of format {version}; upgrade whodid")
        one = Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})
        plain = (one.journal, one.last_hash, one.root, one.previous, one.host, one.service, one.index_prefix)
        numbers = [one.number, one.first_seq, one.last_seq, one.entries, one.dead_letters, one.interval]
        numbers += one.partitions.values()
        if not all(type(text) is str for text in plain) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError
        if parse_creation_date(one.time) is None or one.why not in get_args(Why) or one.interval > _LONGEST:
            raise ValueError
        holes = tuple((int(first), int(last)) for first, last in one.holes)
        letters = tuple((int(seq), str(hash_)) for seq, hash_ in one.letters)
        keys = tuple(bytes.fromhex(key).hex() for key in one.keys)
        if len(keys) not in (0, 2) or any(len(key) != 64 for key in keys):
            raise ValueError
    except FOREIGN:
        raise ProofError("it is not a checkpoint, or is damaged") from None
    return replace(one, holes=holes, letters=letters, keys=keys)
