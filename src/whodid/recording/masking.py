"""Masking of secrets and shortening of large values before an entry is recorded.

Masking: in `before`, `after` and `details` a value is secret if its name is that of a secret (`password`, `apiKey`,
`X-Auth-Token`), if the catalog lists the name under `hashed`, or if the text has the form of a secret (a private key, a
JSON Web Token, a URL with a password). A keyed hash replaces it: `hmac-sha256:` and 64 hex digits, the HMAC (RFC 2104)
with SHA-256 and the setting `hash_key` over the canonical bytes of the value. Equal values have equal hashes, so a
change of a secret is visible but the secret is not; values can't be guessed without the key. If no key is set,
`[hidden]` replaces the value. Booleans and null are never secret (`password_set = true`), nor are attributes of secrets
(`token_id`, `key_name`).

Shortening: strings are cut at the length of their field. Above the soft limit, large values of `details`, `before` and
`after` are cut, the largest first; if that is not enough, the largest of these fields keeps its smallest values only.
`shortened` maps each path that was cut to the size of the original and, unless the field is personal, to the SHA-256 of
its canonical form. Above the hard limit the call is refused.

Leaving out: a type that the setting `record` reduces to `metadata` has no `before`, `after` and `details`, except what
the catalog requires, and `shortened` says so: `{"details": {"record": "metadata"}}`.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

from ..entry import FIELDS, FREE_FIELDS, HARD_LIMIT, SOFT_LIMIT
from ..errors import EntryTooLarge
from ..integrity import canonical
from ..process import pass_on

__all__ = ["HIDDEN", "Mask", "leave_out", "masked", "names_a_secret", "shorten"]

T = TypeVar("T")

HIDDEN = "[hidden]"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = frozenset(
    """apikey accesskey authorization authtoken bearer cookie cookies credential credentials csrf jwt otp passcode
    passphrase passwd password passwords pin privatekey pwd secret secretkey secrets sessionid sshkey token tokens
    totp""".split()  # noqa: SIM905 (words, to be read as such)
)
_ENDINGS = tuple(
    word + s for word in ("apikey", "passphrase", "passwd", "password", "secret", "token") for s in ("", "s")
)
"""Of names that are written as one word: `dbpassword`, `refreshtoken`."""
_OF_A_KEY = frozenset({"access", "account", "api", "auth", "encryption", "license", "master", "private", "secret"})
_OF_A_KEY |= {"shared", "signing", "ssh"}
_OF_A_PASS = frozenset(
    """account admin api app database db ftp imap ldap login mail master mysql old new postgres proxy redis root sftp
    smtp ssh sudo user wifi""".split()  # noqa: SIM905 (as above)
)
"""What a password may be for, in `db_pass`; a boarding pass and a bypass are none."""
_SHORT = 1
"""Characters of a word that is no half of a longer one: `p_in` is a power."""
_SPEAKS_OF_IT = frozenset(
    """at changed count days enabled expires expiry expiration hint id ids kind length limit method name names policy
    provider required rotated set status type url used version""".split()  # noqa: SIM905 (as above)
)
_FORM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"|[\w-]{11}\.eyJ[\w-]{8,}\."
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk_live_|rk_live_)\w{10,}"
    r"|://[^/\s:@]*:[^/\s@]+@"
)
"""Private keys (RFC 7468), JSON Web Tokens (RFC 7519), well-known access keys, URLs with a password (RFC 3986).

A token is recognised by its second part: each `eyJ` of a first part would be a start, and the search quadratic.
"""


@lru_cache(maxsize=4096)
def names_a_secret(name: str, is_number: bool = False) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or (words[-1] in _SPEAKS_OF_IT and words[-2:] != ["session", "id"]):
        return False
    pairs = list(pairwise(words))
    if any(word in _SECRET for word in words):
        return not (is_number and name.endswith("s"))  # a count of them, such as `tokens = 512`
    if any(second in {"key", "keys"} and first in _OF_A_KEY for first, second in pairs):
        return True
    return not is_number and (
        any(word.endswith(_ENDINGS) for word in words)
        or any(first + second in _SECRET for first, second in pairs if min(len(first), len(second)) > _SHORT)
        or (words[-1] == "pass" and (len(words) == 1 or words[-2] in _OF_A_PASS))
    )


class Mask:
    """Masks secrets with one key; if `key` is empty, secrets become `[hidden]`."""

    def __init__(self, key: str = "") -> None:
        self._key = key.encode()

    def __repr__(self) -> str:
        return "Mask()"

    def object(
        self, value: Mapping[str, Any], hashed: Collection[str] = (), plain: Collection[str] = ()
    ) -> dict[str, Any]:
        """A masked copy of a JSON object; at any depth, names in `hashed` are secret and names in `plain` are not."""
        return {name: self._value(name, item, hashed, plain) for name, item in value.items()}

    def _value(self, name: str, value: Any, hashed: Collection[str], plain: Collection[str]) -> Any:
        if value is None or value is True or value is False:
            return value
        if name in hashed or (name not in plain and names_a_secret(name, isinstance(value, int | float))):
            return self._hash(value)
        return self._inside(name, value, hashed, plain)

    def _inside(self, name: str, value: Any, hashed: Collection[str], plain: Collection[str]) -> Any:
        if isinstance(value, dict):
            return self.object(value, hashed, plain)
        if isinstance(value, list):
            return [self._inside(name, item, hashed, plain) for item in value]
        if isinstance(value, str) and name not in plain and _FORM.search(value):
            return self._hash(value)
        return value

    def _hash(self, value: Any) -> str:
        if not self._key:
            return HIDDEN
        return "hmac-sha256:" + hmac.digest(self._key, canonical(value), "sha256").hex()


_MASK = "[masked]"
_DEPTH = 12
_MOST_VALUES = 1000
_MOST_CHARACTERS = 16 * 1024
_LONGEST_TEXT = 1024
_LONGEST_NAME = 256
"""Limits of what is kept of a rejected call; an entry in a journal is limited to 64 KiB too."""
_SAFE_INTEGER = 2**53 - 1
_SUSPECT = re.compile(r"pass|secret|token|key|credential|auth|cookie|session|private|signature|pin\b|otp", re.I)
"""Names of a rejected call are matched more strictly than those of an entry, because its values are unchecked."""
_NAME_OF = type.__dict__["__name__"]
"""Reads the name of a type without calling its metaclass."""
_UNFINISHED = re.compile(r"://[^/\s:@]*:[^/\s@]*\Z")
"""Possibly a URL with a password, whose end was cut off."""


def masked(value: object) -> Any:
    """A bounded copy of a value of a rejected call, in JSON types, without anything that may be secret.

    Never raises: a value that is not JSON, or whose methods raise, becomes the name of its type.
    """
    rejected = _Rejected()
    copy = rejected.copy(value)
    if rejected.spent and isinstance(copy, dict):
        copy["…"] = "[cut: the rejected call is too large]"
    return copy


class _Rejected:
    """The budget of one rejected call."""

    def __init__(self) -> None:
        self._values = _MOST_VALUES
        self._characters = _MOST_CHARACTERS

    def copy(self, value: object, depth: int = 0) -> Any:
        self._values -= 1
        try:
            if isinstance(value, Mapping) and depth < _DEPTH:
                return self._object(value, depth + 1)
            if isinstance(value, list | tuple) and depth < _DEPTH:
                return [self.copy(item, depth + 1) for item in self._first_of(value)]
            return self._text(value, _LONGEST_TEXT) if isinstance(value, str) else _number(value)
        except Exception as error:  # noqa: BLE001 (an object of the application's may raise anything)
            pass_on(error)
            return self._type(value)

    def _object(self, value: Mapping[object, object], depth: int) -> dict[str, Any]:
        kept = {}
        for key, item in self._first_of(value.items()):
            name = self._name(key)
            kept[name] = _MASK if _is_suspect(name) else self.copy(item, depth)
        return kept

    def _first_of(self, items: Iterable[T]) -> Iterator[T]:
        """The items that fit into the budget."""
        for item in items:
            if self.spent:
                break
            yield item

    @property
    def spent(self) -> bool:
        return self._values <= 0 or self._characters <= 0

    def _name(self, key: object) -> str:
        if isinstance(key, str):
            return self._text(key, _LONGEST_NAME)
        try:
            return str(_number(key))
        except Exception as error:  # noqa: BLE001 (as in `copy`)
            pass_on(error)
            return self._type(key)

    def _text(self, value: str, most: int) -> str:
        text = str.__str__(value)[: 2 * most]  # a secret may begin where the text is cut
        if _FORM.search(text) or (len(text) < len(value) and _UNFINISHED.search(text)):
            return _MASK
        kept = text[: min(most, self._characters)]
        self._characters -= len(kept)
        return (kept if len(kept) == len(value) else kept + "…").encode(errors="replace").decode()

    def _type(self, value: object) -> str:
        name = _NAME_OF.__get__(type(value))
        return f"[{self._text(name, _LONGEST_NAME)}]"


def _number(value: object) -> bool | int | float | str | None:
    """A number, boolean or null. Raises for other values, and for numbers that JSON can't represent."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_SAFE_INTEGER <= (number := int(value)) <= _SAFE_INTEGER:
        return number
    if isinstance(value, float) and math.isfinite(real := float(value)):
        return real
    raise TypeError


def _is_suspect(name: str) -> bool:
    """Whether a name may be that of a secret."""
    if name.endswith("…") or name == _MASK:  # the part that was cut off may name one
        return True
    return name != "access_token_id" and (_SUSPECT.search(name) is not None or names_a_secret(name))


_LONG_STRINGS = tuple((name, field.max_length) for name, field in FIELDS.items() if field.shortenable)
_KEPT = 256
"""Characters kept of a string that was cut, and of the JSON of any other value."""
_WORTH_CUTTING = 1024
"""Size in bytes from which cutting a value saves more than the record of the cut takes."""


_Keys = Mapping[str, Collection[str]]


def shorten(entry: dict[str, Any], size: int, personal: frozenset[str], required: _Keys) -> None:
    """Cuts `entry`, which has `size` bytes, below the soft limit, in place; the keys `required` in a field remain.

    Raises `EntryTooLarge`.
    """
    if size > HARD_LIMIT:
        largest = max(entry, key=lambda name: len(canonical(entry[name])))
        raise EntryTooLarge(
            f"the entry has {size} bytes, the limit is {HARD_LIMIT}; the largest field is {largest}. "
            "Store large data elsewhere, and put its name or checksum into details"
        )
    cuts: dict[str, dict[str, object]] = {}
    for name, length in _LONG_STRINGS:
        value = entry.get(name)
        if isinstance(value, str) and len(value) > length:
            cuts[name] = {"bytes": len(value.encode())} if name in personal else _original(value)
            entry[name] = value[: length - 1] + "…"
    if size > SOFT_LIMIT:
        cuts |= _cut_values(entry, size - SOFT_LIMIT, required)
        if _size(entry) + _size(cuts) + _RESERVE > SOFT_LIMIT:
            cuts |= _drop_values(entry, _size(cuts), required)
    if cuts:
        entry["shortened"] = cuts


def leave_out(entry: dict[str, Any], required: _Keys, requires: Collection[str]) -> None:
    """Leaves out what is more than metadata, in place. What the catalog requires remains: the entry stays valid."""
    cuts = entry.pop("shortened", {})
    for name in FREE_FIELDS:
        if (values := entry.pop(name, None)) is None:
            continue
        kept = {key: values[key] for key in required.get(name, ()) if key in values}
        if kept or name in requires:
            entry[name] = kept
        dropped = cuts.get(name)
        cuts = {path: cut for path, cut in cuts.items() if path.split(".")[0] != name or path[len(name) + 1 :] in kept}
        if len(kept) < len(values):
            cuts[name] = {"record": "metadata"}
        elif dropped:
            cuts[name] = dropped
    if cuts:
        entry["shortened"] = cuts


def _cut_values(entry: dict[str, Any], excess: int, required: _Keys) -> dict[str, dict[str, object]]:
    """Cuts large values, the largest first and required ones last, until `excess` bytes are saved."""
    cuts = {}
    large = [
        (key not in required.get(name, ()), len(data), name, key, data)
        for name in FREE_FIELDS
        if isinstance(entry.get(name), dict)
        for key, value in entry[name].items()
        if len(data := canonical(value)) >= _WORTH_CUTTING
    ]
    for _, length, name, key, data in sorted(large, reverse=True):
        if excess <= 0:
            break
        value = entry[name][key]
        text = value if isinstance(value, str) else data.decode()
        cuts[f"{name}.{key}"] = _original(value)
        entry[name][key] = text[:_KEPT] + "…"
        excess -= length - len(canonical(entry[name][key])) - len(canonical(cuts[f"{name}.{key}"]))
    return cuts


def _drop_values(entry: dict[str, Any], said: int, required: _Keys) -> dict[str, dict[str, object]]:
    """Keeps the smallest values of the largest free fields; `said` is the size of the record of earlier cuts."""
    cuts = {}
    for name in sorted(FREE_FIELDS, key=lambda name: -len(canonical(entry.get(name)))):
        room = SOFT_LIMIT - _RESERVE - said - (_size(entry) - len(canonical(entry.get(name))))
        if isinstance(entry.get(name), dict) and len(canonical(entry[name])) > room:
            cuts[name] = _original(entry[name])
            entry[name] = _smallest(entry[name], room, required.get(name, ()))
    return cuts


_RESERVE = 1024
"""Bytes reserved for the fields of the chain, salts, and the record of what was dropped."""


def _smallest(values: dict[str, Any], room: int, required: Collection[str]) -> dict[str, Any]:
    kept = set()
    for key in sorted(values, key=lambda key: (key not in required, len(canonical(values[key])))):
        room -= len(canonical({key: values[key]}))
        if room < 0:
            break
        kept.add(key)
    return {key: value for key, value in values.items() if key in kept}


def _size(entry: dict[str, Any]) -> int:
    return len(canonical(entry))


def _original(value: object) -> dict[str, object]:
    data = canonical(value)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
