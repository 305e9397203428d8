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
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .canonical import canonical

__all__ = ["HIDDEN", "Mask", "masked"]

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
_SUSPECT = re.compile(r"pass|secret|token|key|credential|auth|cookie|session|private|signature|pin\b|otp", re.I)
"""Of a rejected call nothing is known, so its names are judged more strictly than those of an entry."""


def masked(value: object, depth: int = 0) -> Any:
    """A copy of a rejected call's value, made of JSON types only, without anything that may be secret.

    Values that are not JSON become the name of their type.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        text = value.encode(errors="replace").decode()
        return _MASK if _FORM.search(text) else text
    if isinstance(value, Mapping) and depth < _DEPTH:
        return {
            str(name).encode(errors="replace").decode(): (_MASK if _is_suspect(str(name)) else masked(item, depth + 1))
            for name, item in value.items()
        }
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [masked(item, depth + 1) for item in value]
    return f"[{type(value).__name__}]"


def _is_suspect(name: str) -> bool:
    return name != "access_token_id" and (_SUSPECT.search(name) is not None or _names_a_secret(name))
