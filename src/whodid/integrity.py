"""Integrity: the canonical bytes of a value, the hash of an entry, and the line that it makes in the journal.

Values are strings (valid Unicode without surrogates or NUL), booleans, null, integers within ±(2^53 − 1), finite
floats, lists and objects with ASCII keys. `canonical` gives the one byte sequence of RFC 8785: sorted compact JSON is
that wherever no float occurs, so floats alone take the slower road through the `rfc8785` library.

`hash` = SHA-256, hex, of the canonical bytes of the entry without `hash`, `salt`, `salts` and `erased`, in which each
field named in `committed` is replaced by its commitment `"sha256:" + hex(SHA-256(salt of the field ‖ canonical
value))`. `committed` is itself hashed, so no commitment can pass for a value, nor a value for a commitment.

`salt` is random, and the salts of the fields are derived from it (`field_salts`). A personal value can therefore be
removed later, and the log still verifies: `erased` then has the commitments of the values that were removed, and
`salts` the derived salts of those that stay, because `salt` would open all of them. docs/reference/format.md has the
specification and test vectors; tests/independent.py checks them without this package.

Three ways lead to a hash, and tests compare them: `entry_hash` from the fields, `Draft.seal` as the line is made, at
each call of `audit()`, and `line_hash` from the bytes of such a line, as the shipper reads it.
"""

from __future__ import annotations

import json
import math
import os
import re
from binascii import hexlify, unhexlify
from collections import deque
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256, shake_256
from os import getpid
from typing import Any, TypeGuard

import orjson
import rfc8785

from .entry import NEVER_COMMITTED, Once, why_unreadable
from .errors import InvalidEntry
from .text import FOREIGN

__all__ = [
    "CHAIN_BYTES",
    "MAX_DEPTH",
    "MAX_KEY",
    "Draft",
    "canonical",
    "commitments",
    "entry_hash",
    "field_salts",
    "is_key",
    "line_hash",
    "line_of",
    "plain",
    "read_line",
    "salts_of",
]

MAX_DEPTH = 12
"""Levels of nesting in `details`, `before` and `after`."""

MAX_KEY = 512
"""Characters of a key. OpenSearch refuses a path beyond 32,766 bytes, and shortening cuts only values."""

_SAFE_INTEGER = 2**53 - 1
_EXPONENT_FROM = 1e21
"""From here on RFC 8785 writes an exponent; below, a float beyond the safe integers would read back as an integer."""


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a value that `plain` returned."""
    return rfc8785.dumps(value) if _holds_float(value) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


MAX_VALUES = 100_000
"""Values in one field. A small object in which the same list stands many times may unfold to billions."""


def plain(value: object, path: str, depth: int = 0, left: list[int] | None = None) -> Any:
    """A copy of `value` made of plain JSON types only; `left` counts how many more values it may hold.

    Raises `InvalidEntry` naming the path and the type (never the value) of what an entry can't hold.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _plain_string(value, path)
    if isinstance(value, int):
        if not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            raise InvalidEntry(f"{path} is an integer beyond ±(2^53 - 1), which JSON readers round; pass a string")
        return int(value)
    if isinstance(value, float):
        return _plain_float(value, path)
    if depth >= MAX_DEPTH:
        raise InvalidEntry(f"{path} is nested more than {MAX_DEPTH} levels deep (or contains itself); flatten it")
    if isinstance(value, Mapping):
        items = tuple(value.items())
        left = _spent(left, len(items), path)
        return {_plain_key(key, path): plain(item, f"{path}.{key}", depth + 1, left) for key, item in items}
    if isinstance(value, list | tuple):
        items = tuple(value)
        left = _spent(left, len(items), path)
        return [plain(item, f"{path}[{number}]", depth + 1, left) for number, item in enumerate(items)]
    raise InvalidEntry(
        f"{path} is of type {type(value).__name__}, which is not JSON; pass a string, number, boolean, list or dict"
    )


def _spent(left: list[int] | None, count: int, path: str) -> list[int]:
    left = [MAX_VALUES] if left is None else left
    left[0] -= count
    if left[0] < 0:
        field = path.partition(".")[0].partition("[")[0]
        raise InvalidEntry(f"{field} holds more than {MAX_VALUES:,} values; record a summary, or several entries")
    return left


def _plain_string(value: str, path: str) -> str:
    text = value if type(value) is str else str.__str__(value)
    if "\x00" in text:
        raise InvalidEntry(f"{path} contains a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEntry(
            f"{path} contains a lone surrogate, which is not valid Unicode; "
            "decode the original bytes with errors='replace'"
        ) from None
    return text


def _plain_float(value: float, path: str) -> float | int:
    if not math.isfinite(value):
        raise InvalidEntry(f"{path} is NaN or infinite, which JSON can't hold; pass None or a string")
    if _SAFE_INTEGER < abs(value) < _EXPONENT_FROM:
        raise InvalidEntry(f"{path} is a number beyond ±(2^53 - 1), which JSON readers round; pass a string")
    # RFC 8785 writes 1.0 as 1, so that is what a reader gets back.
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else float(value)


def is_key(key: object) -> TypeGuard[str]:
    """Whether an object of an entry may have such a key, if it isn't too long."""
    return isinstance(key, str) and key != "" and key.isascii() and key.isprintable()


def _plain_key(key: object, path: str) -> str:
    if is_key(key):
        if len(key) > MAX_KEY:
            raise InvalidEntry(f"a key in {path[:MAX_KEY]} is longer than {MAX_KEY} characters; make it a value")
        return str.__str__(key)
    raise InvalidEntry(f"a key in {path} is not a string of printable ASCII characters; rename it")


def _holds_float(value: Any) -> bool:
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return type(value) is float
    return not _LEAVES.issuperset(map(type, value)) and any(map(_holds_float, [v for v in value if type(v) is not str]))


_LEAVES = frozenset({str, int, bool, type(None)})
"""Where all values are of these types, sorted compact JSON is canonical."""

_SALT = 16
"""Bytes of a salt, of an entry as of a field."""


def field_salts(salt: bytes, fields: int) -> bytes:
    """The salts of committed fields, 16 bytes each, in the order of their names: SHAKE256 of the entry's salt.

    This takes one call for any number of fields. Neither another salt nor the entry's salt can be computed from one.
    """
    return shake_256(salt).digest(_SALT * fields)


def entry_hash(entry: Mapping[str, object]) -> str:
    """The hash that `entry` should carry. Raises `ValueError` where what is said of personal fields is malformed."""
    body = dict(entry)
    body.pop("hash", None)
    committed = body.pop("committed", _ABSENT)
    flat = _LEAVES.issuperset(map(type, body.values()))
    if committed is not _ABSENT or not body.keys().isdisjoint(_OPENINGS):
        body.update(commitments(entry), committed=committed)
        for name in _OPENINGS:
            body.pop(name, None)
    data = orjson.dumps(body, option=orjson.OPT_SORT_KEYS) if flat else canonical(body)
    return sha256(data).hexdigest()


_ABSENT = object()
_OPENINGS = ("salt", "salts", "erased")


def commitments(entry: Mapping[str, object]) -> dict[str, str]:
    """The commitment to each field that the entry names in `committed`.

    Raises `ValueError` unless there is exactly what opens them: the salt, or the commitments of some that were erased
    and the derived salts of the others.
    """
    try:
        found = {name: _commitment(salt, entry[name]) for name, salt in _salts(entry).items()}
        return found if "salt" in entry else {**found, **_erased(entry)}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"what is said of personal fields is malformed or missing: {error}") from error


def salts_of(entry: Mapping[str, object]) -> dict[str, str]:
    """The salt of each committed field that was not erased, in hex digits. Raises as `commitments`."""
    return {name: salt.hex() for name, salt in _salts(entry).items()}


def _salts(entry: Mapping[str, Any]) -> dict[str, bytes]:
    names = _checked(*entry["committed"]) if type(entry["committed"]) is list else _checked()
    if "salt" not in entry:
        return {name: _bytes(salt) for name, salt in entry.get("salts", {}).items()}
    if "salts" in entry or "erased" in entry:
        raise ValueError("a salt stands beside salts or erased")
    pieces = field_salts(_bytes(entry["salt"]), len(names))
    return {name: pieces[_SALT * number : _SALT * number + _SALT] for number, name in enumerate(names)}


def _erased(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    erased: Mapping[str, Any] = entry["erased"]
    salts = entry.get("salts")
    if not erased or salts == {} or sorted((*(salts or ()), *erased)) != entry["committed"]:
        raise ValueError("salts and erased are not those of the committed fields")
    if not entry.keys().isdisjoint(erased):
        raise ValueError("a field is both present and erased")
    return erased


@lru_cache(maxsize=64)
def _checked(*names: object) -> tuple[str, ...]:
    """The names in `committed`. Raises `ValueError` where these are no sorted names of fields that can be personal."""
    texts = tuple(name for name in names if isinstance(name, str))
    if not texts or list(names) != sorted({*texts}) or not NEVER_COMMITTED.isdisjoint(texts):
        raise ValueError("committed is no sorted list of fields that can be personal")
    return texts


def _bytes(salt: object) -> bytes:
    """Raises `ValueError` unless it is a salt in small hex digits."""
    found = bytes.fromhex(salt) if isinstance(salt, str) else b""
    if len(found) != _SALT or found.hex() != salt:
        raise ValueError("a salt is malformed")
    return found


def _commitment(salt: bytes, value: object) -> str:
    data = orjson.dumps(value) if type(value) is str else canonical(value)
    return "sha256:" + sha256(salt + data).hexdigest()


class Draft:
    """A complete entry that lacks only its place in the chain; `personal` fields are committed to here.

    It is serialised here, once, before the journal's lock is taken: NUL stands where the place will be, which no value
    of an entry holds. After the hash was taken, each commitment gives way to its value: nobody knew it before the salt
    was drawn, so it stands nowhere else. The draft takes `entry` over.

    Raises `TypeError` for a value that JSON doesn't have, `ValueError` for a string with NUL, neither of which `plain`
    lets pass, and `InvalidEntry` for a personal value that looks like a commitment.
    """

    __slots__ = ("_opened", "_parts", "_salt", "once", "size")

    def __init__(self, entry: dict[str, Any], personal: Collection[str] = ()) -> None:
        self._opened: list[tuple[bytes, bytes]] = []
        self._salt = b""
        self.size = 0
        """Bytes of its line without its place in the chain, at most."""
        self.once = Once.of(entry) if "once" in entry else None
        if personal and (names := sorted(filter(entry.__contains__, personal))):
            self._commit(entry, names)
        entry["journal"] = entry["prev"] = entry["seq"] = "\0"
        free = "details" in entry or "after" in entry or "before" in entry  # only those hold floats
        body = canonical(entry) if free else orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
        self.size += len(body)
        try:
            start, before_prev, before_seq, end = body.split(_NUL)
        except ValueError:  # more looks like NUL
            start, before_prev, before_seq, end = _split_with_care(body)
        self._parts = start, before_prev, before_seq[:-1], end[1:]

    def _commit(self, entry: dict[str, Any], names: list[str]) -> None:
        salt, salts, self._salt = _new_salt()
        if len(names) > _SALTS_READY:
            salts = field_salts(salt, len(names))
        begin = 0
        for name in names:
            value = entry[name]
            if "\0" in value:
                raise ValueError(f"{name} contains NUL")
            if len(value) == _COMMITMENT_LENGTH and isinstance(value, str) and _COMMITMENT.fullmatch(value):
                raise InvalidEntry(
                    f"{name} has the form of a commitment (sha256: and 64 hex digits), by which whodid hides personal "
                    "values; record the value itself"
                )
            data, end = orjson.dumps(value, option=orjson.OPT_SORT_KEYS), begin + _SALT
            entry[name] = hidden = "sha256:" + sha256(salts[begin:end] + data).hexdigest()
            self._opened.append((orjson.dumps(hidden), data))
            self.size += len(data)
            begin = end
        entry["committed"] = names
        self.size += len(self._salt)

    def seal(self, journal: str, seq: int, prev: str) -> tuple[str, bytes]:
        """Hash and journal line (without a newline) as number `seq` of `journal`, after the entry with hash `prev`."""
        start, before_prev, before_seq, end = self._parts
        body = b"%b%b%b%b%b%d%b" % (start, journal.encode(), before_prev, prev.encode(), before_seq, seq, end)
        hash_ = sha256(body).hexdigest()
        line = b'{"hash":"%b",%b%b' % (hash_.encode(), self._salt, body[1:])
        for hidden, value in self._opened:
            line = line.replace(hidden, value, 1)
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


_COMMITMENT_LENGTH = len("sha256:") + 64
_COMMITMENT = re.compile("sha256:[0-9a-f]{64}")

_spare_salts: deque[tuple[bytes, bytes, bytes]] = deque()
"""Salts, each with those of the first fields, which cost several times as much one by one, and as it stands in a line.
"""
_drawn_by = 0
"""The process that drew them."""
_SALTS_AT_ONCE = 64
_SALTS_READY = 8
"""Fields whose salts one block of SHAKE256 holds."""


def _new_salt() -> tuple[bytes, bytes, bytes]:
    """A salt that no other entry gets, as in `_spare_salts`; a process uses none that its parent drew."""
    global _drawn_by
    try:
        if _drawn_by == getpid():
            return _spare_salts.pop()
    except IndexError:  # all are used
        pass
    random = os.urandom(_SALT * _SALTS_AT_ONCE)
    drawn = [random[at : at + _SALT] for at in range(0, len(random), _SALT)]
    salt, *spare = [(each, field_salts(each, _SALTS_READY), b'"salt":"%b",' % hexlify(each)) for each in drawn]
    if _drawn_by != getpid():
        _spare_salts.clear()
        _drawn_by = getpid()  # last: who sees it finds none of the parent's
    _spare_salts.extend(spare)
    return salt


def line_of(entry: Mapping[str, object]) -> bytes:
    """The line of a whole entry, without a newline; its hash stands in front, as in those that `Draft.seal` makes."""
    rest = {name: value for name, value in entry.items() if name != "hash"}
    return b'{"hash":"%b",%b' % (str(entry["hash"]).encode(), canonical(rest)[1:])


def read_line(line: bytes) -> dict[str, Any]:
    """The entry of one journal line (without its newline). Raises `ValueError` if its hash does not match.

    Fields that this version doesn't know are kept; an entry of another major format is refused.
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
    if (found := line_hash(line)) is None or found != entry.get("hash"):
        json.loads(line, object_pairs_hook=_unique)
        if entry.get("hash") != entry_hash(entry):
            raise ValueError("the hash does not match the content")
    if not (isinstance(entry.get("journal"), str) and isinstance(entry.get("prev"), str)):
        raise ValueError("journal or prev is missing")
    if not (type(entry.get("seq")) is int and entry["seq"] > 0):
        raise ValueError("seq is missing")
    return entry


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises `ValueError` for a name that is there twice, of which each reader takes another."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def line_hash(line: bytes) -> str | None:
    """The hash of a line in the form that `Draft.seal` gives it, from its bytes alone; of any other line, another hash.

    `None` where that can't be said.
    """
    if line[:9] != b'{"hash":"' or line[73:75] != b'",':
        return None
    if line[75:83] == b'"salt":"':
        return _hash_with_salt(line)
    return None if b'"committed":' in line else sha256(b"{" + line[75:]).hexdigest()


def _hash_with_salt(line: bytes) -> str | None:
    """Of a line with personal fields, which are looked for on the top level only.

    That is before the first brace, or behind the last one before `prev`: from there on there is no object but
    `shortened`, whose only texts are hashes and `metadata`, and those in `targets`, whose keys are no names of personal
    fields.
    """
    at = line.find(b'"committed":[', _SALTED) + 13
    nested = line.find(b"{", _SALTED)
    keys = _layout(line[at : line.find(b"]", at)])
    if line[_SALTED - 2 : _SALTED] != b'",' or 0 <= nested < at or not keys:
        return None
    top = line.rfind(b"}", nested, line.rfind(b'"prev":"')) if nested >= 0 else 0
    try:
        salts = field_salts(unhexlify(line[83 : _SALTED - 2]), len(keys))
    except ValueError:
        return None
    parts, done, at = [b"{"], _SALTED, 0
    for key in keys:
        start = line.find(key, done)
        if start > nested >= 0:
            start = line.find(key, max(top, done))
        if start < 0:
            return None
        start += len(key)
        end = line.find(b'"', start)
        salt, value = salts[at : at + _SALT], line[start - 1 : end + 1]
        parts += line[done:start], b"sha256:", hexlify(sha256(salt + value).digest())
        at, done = at + _SALT, end
    parts.append(line[done:])
    return sha256(b"".join(parts)).hexdigest()


_SALTED = len('{"hash":"') + 64 + len('","salt":"') + 2 * _SALT + len('",')
"""Where the other fields begin in a line with a salt."""


@lru_cache(maxsize=64)
def _layout(committed: bytes) -> list[bytes]:
    """How each committed field begins in a line, by the text between the brackets of `committed`; none if malformed."""
    try:
        return [b'"%b":"' % name.encode() for name in _checked(*orjson.loads(b"[%b]" % committed))]
    except (ValueError, TypeError):
        return []
