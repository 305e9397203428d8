"""The drift: whether somebody changed by hand what `whodid setup` made.

What setup makes carries a fingerprint of itself, in a text that the cluster keeps as it is: `… [1f2e3d4c]`. If it no
longer fits the rest, somebody else changed it. What has none was made by an older version, or by somebody else.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

__all__ = ["OWNER", "changed_by_hand", "signed"]

OWNER = "whodid: "
"""How the descriptions of what setup makes begin."""

_FINGERPRINT = re.compile(r" ?\[([0-9a-f]{8})\]$")


def signed(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of `body` with its fingerprint at the end of the text at `path`, which may be empty or missing."""
    plain, _ = _taken_out(body, path)
    text = _at(plain, path)[path[-1]]
    copy = _copy(plain)
    _at(copy, path)[path[-1]] = f"{text} [{_fingerprint(plain)}]".lstrip()
    return copy


def changed_by_hand(body: dict[str, Any], *path: str, ours: bool) -> bool:
    """Whether `body`, as the cluster has it, is another one than setup made; `ours` is whether it has our mark."""
    plain, found = _taken_out(body, path)
    return not ours if found is None else found != _fingerprint(plain)


def _taken_out(body: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """A copy without the fingerprint, and that, if there is one."""
    copy = _copy(body)
    inner = _at(copy, path)
    text = str(inner.get(path[-1]) or "")
    found = _FINGERPRINT.search(text)
    inner[path[-1]] = text[: found.start()] if found else text
    return copy, found[1] if found else None


def _copy(body: dict[str, Any]) -> dict[str, Any]:
    """Of which no part is another's, as in `deepcopy` one that stands in it twice would stay."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    return copy


def _at(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object that has the last of `path`; made where it is missing."""
    for name in path[:-1]:
        body = body.setdefault(name, {})
    return body


def _fingerprint(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]
