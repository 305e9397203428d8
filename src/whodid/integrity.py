"""Integrity: the hash of an entry, the commitments to its personal fields, and the line they make in the journal.

`hash` = SHA-256, hex, of the canonical bytes of the entry without `hash`, `salts` and `erased`, in which each field
named in `salts` or `erased` is replaced by its commitment `"sha256:" + hex(SHA-256(salt ‖ canonical value))`. A
personal value can therefore be removed later, with its salt, and the log still verifies. docs/format.md has the
specification and test vectors; tests/independent.py checks them without this package.
"""

from __future__ import annotations

import os
import re
from binascii import unhexlify
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from os import getpid
from typing import Any

import orjson

from .canonical import canonical
from .entry import why_unreadable
from .foreign import FOREIGN

__all__ = ["CHAIN_BYTES", "Draft", "commitment", "entry_hash", "read_line", "sealed_hash"]

_OUTSIDE_HASH = ("hash", "salts", "erased")
_HASH_PREFIX = b'{"hash":"'


def commitment(salt: bytes, value: object) -> str:
    """What stands for a personal value in the hash: it says nothing about the value without the salt."""
    return f"sha256:{sha256(salt + canonical(value)).hexdigest()}"


def entry_hash(entry: Mapping[str, object]) -> str:
    """The hash that `entry` should carry. Raises `ValueError` when its salts are malformed."""
    return sha256(canonical(_committed(entry))).hexdigest()


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


class Draft:
    """A complete entry that lacks only its place in the chain; `personal` fields get a salt here.

    It is serialised here, once, before the journal's lock is taken: NUL stands where the place will be, which no value
    of an entry holds. After the hash was taken, each commitment gives way to its value. The draft takes `entry` over.

    Raises `TypeError` for a value that JSON doesn't have and `ValueError` for a string with NUL, neither of which
    `plain` lets pass.
    """

    __slots__ = ("_opened", "_parts", "_salts", "size")

    def __init__(self, entry: dict[str, Any], personal: Collection[str] = ()) -> None:
        entry["journal"] = entry["prev"] = entry["seq"] = "\0"
        self._opened: Sequence[tuple[bytes, bytes]] = ()
        self._salts = b""
        self.size = 0
        """Bytes of its line without its place in the chain, at most."""
        if personal:
            self._commit(entry, personal)
        free = "details" in entry or "after" in entry or "before" in entry
        body = canonical(entry) if free else orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)  # only those hold floats
        self.size += len(body) + len(self._salts)
        try:
            start, before_prev, before_seq, end = body.split(_NUL)
        except ValueError:
            start, before_prev, before_seq, end = _split_with_care(body)
        self._parts = start, before_prev, before_seq[:-1], end[1:]

    def _commit(self, entry: dict[str, Any], personal: Collection[str]) -> None:
        if getpid() != _drawn_by:
            _forget_salts()
        opened, salts = [], ""
        for name in personal:
            if name not in entry:
                continue
            value = entry[name]
            if type(value) is str:
                data, nul = orjson.dumps(value), "\0" in value
            else:
                data = canonical(value)
                nul = _REAL_NUL.search(data) is not None
            if nul:
                raise ValueError(f"{name} contains NUL")
            try:
                salt, digits = _spare_salts.pop()
            except IndexError:
                salt, digits = _salt()
            self.size += len(data)
            entry[name] = hidden = "sha256:" + sha256(salt + data).hexdigest()
            opened.append((hidden.encode(), data))
            salts = f'{salts},"{name}":"{digits}"' if salts else f'"{name}":"{digits}"'
        if opened:
            self._opened = opened
            self._salts = f'"salts":{{{salts}}},'.encode()

    def seal(self, journal: str, seq: int, prev: str) -> tuple[str, bytes]:
        """Hash and journal line (without a newline) as number `seq` of `journal`, after the entry with hash `prev`."""
        start, before_prev, before_seq, end = self._parts
        body = b"%b%b%b%b%b%d%b" % (start, journal.encode(), before_prev, prev.encode(), before_seq, seq, end)
        hash_ = sha256(body).hexdigest()
        line = b'{"hash":"%b",%b%b' % (hash_.encode(), self._salts, body[1:])
        for hidden, value in self._opened:
            at = line.find(hidden) - 1
            line = b"%b%b%b" % (line[:at], value, line[at + _COMMITMENT_BYTES :])
        return hash_, line


CHAIN_BYTES = 300
"""What `journal`, `seq`, `prev` and `hash` add to the size of a draft, at most."""

_NUL = b"\\u0000"
_REAL_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL, and not the text `\\u0000` that somebody wrote, whose backslash is escaped."""


def _split_with_care(body: bytes) -> list[bytes]:
    """The parts around the three places, in a body in which more looks like NUL. Raises `ValueError` if it is."""
    if len(_REAL_NUL.findall(body)) > 3:
        raise ValueError("a string contains NUL")
    return body.replace(b'"' + _NUL + b'"', b'"\0"').split(b"\0")


_COMMITMENT_BYTES = len('"sha256:"') + 64

_spare_salts: deque[tuple[bytes, str]] = deque()
"""Salts, each with its hex digits."""
_SALTS_AT_ONCE = 64


def _salt() -> tuple[bytes, str]:
    """16 bytes that no other value gets, in this process or a forked one; more of them are then to spare."""
    random = os.urandom(16 * _SALTS_AT_ONCE)
    digits = random.hex()
    first, *others = [(random[n : n + 16], digits[2 * n : 2 * n + 32]) for n in range(0, len(random), 16)]
    _spare_salts.extend(others)
    return first


_drawn_by = getpid()
"""The process: application servers written in C fork without telling Python."""


def _forget_salts() -> None:
    global _drawn_by
    _spare_salts.clear()  # first: another thread takes none before it is done
    _drawn_by = getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_salts)


def read_line(line: bytes) -> dict[str, Any]:
    """The entry of one journal line (without its newline). Raises `ValueError` when its hash doesn't fit.

    Fields that this version doesn't know are kept; an entry of a higher major format is refused.
    """
    try:
        return _read_line(line)
    except ValueError:
        raise
    except FOREIGN as error:
        raise ValueError(f"no entry: {error}") from error


def _read_line(line: bytes) -> dict[str, Any]:
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
    hash_ = sealed_hash(line)
    return hash_ if hash_ is not None and hash_ == entry.get("hash") else entry_hash(entry)


def sealed_hash(line: bytes) -> str | None:
    """The hash of a line in the form that `Draft.seal` gives it, from its bytes alone; of any other line, another hash.

    `None` when the line doesn't even begin in that form.
    """
    if line[:9] != _HASH_PREFIX or line[73:75] != b'",':
        return None
    if line[74:84] != b',"salts":{':
        return sha256(b"{" + line[75:]).hexdigest()
    end = line.find(b"}", 84)
    if line[end : end + 3] != b'},"':
        return None
    body = b"{" + line[end + 2 :]
    for salt in line[84:end].split(b","):
        name, value = salt[:-34], salt[-33:-1]
        if salt[-36:-33] != b'":"' or salt[-1:] != b'"':
            return None
        start = body.find(name + b'"') + len(name)
        stop = body.find(b'"', start + 1) + 1
        try:
            hidden = sha256(unhexlify(value) + body[start:stop]).hexdigest()
        except ValueError:
            return None
        body = b'%b"sha256:%b"%b' % (body[:start], hidden.encode(), body[stop:])
    return sha256(body).hexdigest()
