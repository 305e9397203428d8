"""Masking: secrets, taken out of what a caller hands over before it is kept anywhere.

In `before`, `after` and `details` a value is secret when its name says so (`password`, `apiKey`, `X-Auth-Token`), when
the catalog lists the name under `hashed`, or when the text has a secret's form (a private key, a JSON Web Token, a URL
with a password). It gives way to a keyed hash, `hmac-sha256:` and 64 hex digits: HMAC (RFC 2104) with SHA-256, the
key of the setting `hash_key`, over the value's canonical bytes. Equal values have equal hashes, so a change of a secret
shows and the secret doesn't; without the key nobody can try values. Without a key set it gives way to `[hidden]`.

Booleans and null are never secret (`password_set = true`), nor is what a name only speaks of (`token_id`, `key_name`).
"""

from __future__ import annotations

import hmac
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

from .integrity import canonical
from .interruption import pass_on

__all__ = ["HIDDEN", "Mask", "masked"]

T = TypeVar("T")

HIDDEN = "[hidden]"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = frozenset(
    """apikey accesskey authorization authtoken bearer cookie cookies credential credentials csrf jwt otp passcode
    passphrase passwd password passwords pin privatekey pwd secret secretkey secrets sessionid sshkey token tokens
    totp""".split()  # noqa: SIM905 (words, to be read as such)
)
_OF_A_KEY = frozenset({"access", "account", "api", "auth", "encryption", "license", "master", "private", "secret"})
_OF_A_KEY |= {"shared", "signing", "ssh"}
_SPEAKS_OF_IT = frozenset(
    """at changed count days enabled expires expiry expiration hint id ids kind length limit method name names policy
    provider required rotated set status type url used version""".split()  # noqa: SIM905 (as above)
)
_FORM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk_live_|rk_live_)\w{10,}"
    r"|://[^/\s:@]*:[^/\s@]+@"
)
"""Private keys (RFC 7468), JSON Web Tokens (RFC 7519), well-known access keys, URLs with a password (RFC 3986)."""


@lru_cache(maxsize=4096)
def _names_a_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or (words[-1] in _SPEAKS_OF_IT and words[-2:] != ["session", "id"]):
        return False
    return not _SECRET.isdisjoint(words) or any(
        (second in {"key", "keys"} and first in _OF_A_KEY) or (first, second) == ("session", "id")
        for first, second in pairwise(words)
    )


class Mask:
    """Masks with one key. `key` may be empty: secrets then become `[hidden]`."""

    def __init__(self, key: str = "") -> None:
        self._key = key.encode()

    def __repr__(self) -> str:
        return "Mask()"

    def object(
        self, value: Mapping[str, Any], hashed: Collection[str] = (), plain: Collection[str] = ()
    ) -> dict[str, Any]:
        """A copy of an object of JSON types; names in `hashed` are secret, those in `plain` aren't, at any depth."""
        return {name: self._value(name, item, hashed, plain) for name, item in value.items()}

    def _value(self, name: str, value: Any, hashed: Collection[str], plain: Collection[str]) -> Any:
        if value is None or value is True or value is False:
            return value
        if name in hashed or (name not in plain and _names_a_secret(name) and not _is_count(name, value)):
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


def _is_count(name: str, value: Any) -> bool:
    """`tokens = 512` counts them."""
    return isinstance(value, int | float) and name.endswith("s")


_MASK = "[masked]"
_DEPTH = 12
_MOST_VALUES = 1000
_MOST_CHARACTERS = 16 * 1024
_LONGEST_TEXT = 1024
_LONGEST_NAME = 256
"""What is kept of a rejected call: a journal holds no entry of more than 64 KiB either."""
_SAFE_INTEGER = 2**53 - 1
_SUSPECT = re.compile(r"pass|secret|token|key|credential|auth|cookie|session|private|signature|pin\b|otp", re.I)
"""Of a rejected call nothing is known, so its names are judged more strictly than those of an entry."""
_NAME_OF = type.__dict__["__name__"]
"""Asked like this a metaclass has no say in it."""
_UNFINISHED = re.compile(r"://[^/\s:@]*:[^/\s@]*\Z")
"""Perhaps a URL with a password, of which the end was cut off."""


def masked(value: object) -> Any:
    """A copy of a rejected call's value, made of JSON types only, bounded, without anything that may be secret.

    Never raises, whatever is in there: values that are not JSON, or that fail when they are looked at, become the name
    of their type.
    """
    rejected = _Rejected()
    copy = rejected.copy(value)
    if rejected.spent and isinstance(copy, dict):
        copy["…"] = "[more than is kept of a rejected call]"
    return copy


class _Rejected:
    """One rejected call, and how much of it may still be kept."""

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
        """As many as may be kept."""
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
    """What needs no more room than a number. Raises for what is none, or none that JSON holds."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_SAFE_INTEGER <= (number := int(value)) <= _SAFE_INTEGER:
        return number
    if isinstance(value, float) and math.isfinite(real := float(value)):
        return real
    raise TypeError


def _is_suspect(name: str) -> bool:
    """What was cut off a long name may have said so."""
    if name.endswith("…") or name == _MASK:
        return True
    return name != "access_token_id" and (_SUSPECT.search(name) is not None or _names_a_secret(name))
