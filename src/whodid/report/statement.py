"""The JSON file of a report: its one valid form, its digest, and the hash of the HTML that belongs to it.

`NAME.json` is the report's JSON with two more members at its end:

- `digest`: the SHA-256, hex, of the RFC 8785 form of all the rest; the HTML shows it.
- `html`: name, SHA-256 and size of the HTML.

The file has exactly one valid form (two spaces, UTF-8, unprintable characters escaped, one newline at the end), so that
any changed byte is detected. Values from the cluster are converted first, so that any content has an RFC 8785 form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import rfc8785

from ..errors import ReportError
from ..text import json_text

__all__ = ["FORMAT", "Content", "digest_of", "made_plain", "read_statement", "statement"]

Content = dict[str, Any]
"""A report's JSON, without `digest` and `html`."""

FORMAT = 1

_SAFE_NUMBER = 2**53 - 1
_DEEPEST = 20
_TIES = ("digest", "html")


def made_plain(value: object, depth: int = 0) -> Any:
    """Converts a value to JSON that has an RFC 8785 form; other values become text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= _SAFE_NUMBER else str(value)  # the comparison with NaN is false, too
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {_text(key): made_plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [made_plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: object) -> str:
    """Converts to text without lone surrogates, which can't be encoded."""
    return str(value).encode("utf-8", "replace").decode()


def digest_of(content: Mapping[str, Any]) -> str:
    """Returns the `digest` of a report."""
    return sha256(rfc8785.dumps({key: value for key, value in content.items() if key not in _TIES})).hexdigest()


def statement(content: Content, html: bytes, name: str) -> bytes:
    """Returns the bytes of the JSON file; `name` is that of the HTML file."""
    tied = {
        "digest": digest_of(content),
        "html": {"file": name, "sha256": sha256(html).hexdigest(), "bytes": len(html)},
    }
    return _written({**content, **tied})


def read_statement(data: bytes, name: str) -> tuple[Content, list[str]]:
    """Reads a JSON file; returns its content and problems. Raises `ReportError` if it is not a report."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    match found:
        case {
            "format": int(number),
            "period": {"since": str(), "until": str()},
            "made": {"at": str(), "signed_by": str()},
            "summary": {"findings": int()},
            "html": {"sha256": str()},
        }:
            whole: Content = {**found}
        case _:
            raise ReportError(f"{name} is not a report of whodid, or is damaged")
    if number != FORMAT:
        raise ReportError(f"{name} has format {number}, but this whodid reads format {FORMAT}; upgrade whodid")
    try:
        fits = digest_of(whole) == whole.get("digest") and _written(whole) == data
    except (ValueError, RecursionError):
        fits = False
    return whole, [] if fits else ["its JSON differs from what was written"]


def _written(whole: Content) -> bytes:
    return (json_text(whole, indent=2) + "\n").encode()
