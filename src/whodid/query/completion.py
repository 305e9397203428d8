"""The completion: what may come next in a query that somebody is writing; for shells, and for the box in the tab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..entry import FIELDS
from .grammar import AND, FILTERS, KEYED, LONGEST, MOMENTS, NOT, OR, TIMES

__all__ = ["Suggestion", "complete"]

_BEFORE_TOKEN = re.compile(r"(?:.*[\s(])?", re.DOTALL)
_MOST = 100


class Suggestion(NamedTuple):
    """`text` may stand in place of what follows the first `start` characters; `about` says what it is."""

    start: int
    text: str
    about: str = ""


def complete(written: str, values: Mapping[str, Sequence[str]] | None = None) -> list[Suggestion]:
    """What may follow `written`, at whose end the cursor is. `values` are known values of fields, such as types."""
    if len(written) > LONGEST:
        return []
    found = _BEFORE_TOKEN.match(written)
    start = found.end() if found else 0
    token = written[start:]
    if written.count('"') % 2:
        return []
    if token.startswith("-"):
        start, token = start + 1, token[1:]
    if ":" not in token:
        operators = [*NOT, AND[0], OR[0]] if token and start else []
        return _matching(start, token, [*_fields(), *((word, "") for word in operators)])
    field, _, rest = token.partition(":")
    last = rest.rpartition(",")[2]
    return _matching(start + len(token) - len(last), last, _values(field, values or {}))


def _fields() -> Iterable[tuple[str, str]]:
    yield from ((f"{name}:", FIELDS[name].about) for name in FILTERS)
    yield from ((f"{name}:", about) for name, about in TIMES.items())
    yield from ((f"{name}:", FIELDS[name].about) for name in KEYED)


def _values(field: str, values: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    if field in TIMES:
        return [(word, "") for word in MOMENTS]
    known = values.get(field) or (FIELDS[field].values if field in FIELDS else ())
    return [(value, "") for value in known]


def _matching(start: int, begun: str, candidates: Iterable[tuple[str, str]]) -> list[Suggestion]:
    """Those that begin so, then those that hold it."""
    low = begun.lower()
    found = [
        Suggestion(start, text, about.replace("`", ""))
        for text, about in candidates
        if low in text.lower() and text != begun
    ]
    return sorted(found, key=lambda one: not one.text.lower().startswith(low))[:_MOST]
