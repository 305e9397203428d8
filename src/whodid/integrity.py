"""Integrity: the hash of an entry, the commitments to its personal fields, and the line they make in the journal.

`hash` = SHA-256, hex, of the canonical bytes of the entry without `hash`, `salts` and `erased`, in which each field
named in `salts` or `erased` is replaced by its commitment `"sha256:" + hex(SHA-256(salt ‖ canonical value))`. A
personal value can therefore be removed later, with its salt, and the log still verifies. docs/format.md has the
specification and test vectors; tests/independent.py checks them without this package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from .canonical import canonical, canonicalizer
from .entry import why_unreadable

__all__ = ["Draft", "Sealed", "commitment", "entry_hash", "read_line"]

_OUTSIDE_HASH = ("hash", "salts", "erased")
_HASH_PREFIX = b'{"hash":"'
_HASH_END = len(_HASH_PREFIX) + 64


def commitment(salt: bytes, value: object) -> str:
    """What stands for a personal value in the hash: it says nothing about the value without the salt."""
    return "sha256:" + hashlib.sha256(salt + canonical(value)).hexdigest()


def entry_hash(entry: Mapping[str, object]) -> str:
    """The hash that `entry` should carry. Raises `ValueError` when its salts are malformed."""
    return hashlib.sha256(canonical(_committed(entry))).hexdigest()


def _committed(entry: Mapping[str, object]) -> dict[str, object]:
    """The entry as it is hashed."""
    body = {name: value for name, value in entry.items() if name not in _OUTSIDE_HASH}
    salts, erased = entry.get("salts") or {}, entry.get("erased") or {}
    if not (isinstance(salts, Mapping) and isinstance(erased, Mapping)):
        raise ValueError("salts and erased must be objects")
    for name, salt in salts.items():
        if not isinstance(salt, str) or name not in body:
            raise ValueError(f"the salt of {name} is malformed or belongs to no field")
        body[name] = commitment(bytes.fromhex(salt), body[name])
    for name, value in erased.items():
        if name in body:
            raise ValueError(f"{name} is both present and erased")
        body[name] = value
    return body


class Sealed(NamedTuple):
    """One entry at its place in the chain: the journal line is `line`, without a newline."""

    seq: int
    hash: str
    line: bytes


class Draft:
    """A complete entry that lacks only its place in the chain; `personal` fields get a salt here."""

    __slots__ = ("_canonical", "_committed", "entry")

    def __init__(self, entry: dict[str, Any], personal: Iterable[str] = ()) -> None:
        self.entry = entry
        self._committed = entry
        self._canonical = canonicalizer(entry)
        present = [name for name in personal if name in entry]
        if present:
            random = os.urandom(16 * len(present))
            salts = {name: random[16 * n : 16 * n + 16] for n, name in enumerate(present)}
            self._committed = {**entry, **{name: commitment(salt, entry[name]) for name, salt in salts.items()}}
            self.entry = {**entry, "salts": {name: salt.hex() for name, salt in salts.items()}}

    def seal(self, journal: str, seq: int, prev: str) -> Sealed:
        """The entry as number `seq` of `journal`, after the entry whose hash is `prev`."""
        committed = self._committed
        committed["journal"], committed["seq"], committed["prev"] = journal, seq, prev
        body = self._canonical(committed)
        hash_ = hashlib.sha256(body).hexdigest()
        if self.entry is not committed:
            self.entry["journal"], self.entry["seq"], self.entry["prev"] = journal, seq, prev
            body = self._canonical(self.entry)
        return Sealed(seq, hash_, b'%s%s",%s' % (_HASH_PREFIX, hash_.encode(), body[1:]))


def read_line(line: bytes) -> dict[str, Any]:
    """The entry of one journal line (without its newline). Raises `ValueError` when its hash doesn't fit.

    Fields that this version doesn't know are kept; an entry of a higher major format is refused.
    """
    entry = orjson.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    if why := why_unreadable(entry):
        raise ValueError(why)
    if entry.get("hash") != _line_hash(line, entry):
        raise ValueError("the hash does not fit the content")
    if not (isinstance(entry.get("journal"), str) and isinstance(entry.get("prev"), str)):
        raise ValueError("journal or prev is missing")
    if not (type(entry.get("seq")) is int and entry["seq"] > 0):
        raise ValueError("seq is missing")
    return entry


def _line_hash(line: bytes, entry: dict[str, Any]) -> str:
    if "salts" not in entry and "erased" not in entry and line.startswith(_HASH_PREFIX):
        # The rest of such a line is the canonical form itself; any other rest has another hash.
        return hashlib.sha256(b"{" + line[_HASH_END + 2 :]).hexdigest()
    return entry_hash(entry)
