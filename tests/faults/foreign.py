"""Foreign content: what nobody of whodid wrote, in place of, or in the middle of, what whodid expects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

__all__ = ["Change", "changes"]

Change = Callable[[bytes], bytes]
"""What becomes of a true content."""

_HUGE = "@1e400@"
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3.5, 10**18, 10**30, 10**400, float("nan"), float("inf"), _HUGE),
    *("", "x", "\ud800", "\x00", "../..", "2026-13-45", "x" * 5000, "é" * 300, "1e400"),
    *([], [[]], [1], ["x"], {}, {"x": 1}, [_HUGE], {"type": []}, {"error": {"type": ["x"]}}, [{}] * 3),
)
_BYTES = (
    *(b"", b"\n", b"\xff\xfe\x00", b"null", b"[]", b"{}", b'""', b"0", b"1e400", b"NaN", b"-", b'{"', b"\x00" * 5000),
    *(b"[" * 3000 + b"]" * 3000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"[" * 900 + b"]" * 900, b"<html>", b"9" * 5000),
)


def changes() -> st.SearchStrategy[Change]:
    """Changes of whole contents, and of one value of the JSON in a content or in one of its lines."""
    place, value = st.integers(0, 10_000), st.sampled_from(_VALUES)
    return st.one_of(
        st.sampled_from(_BYTES).map(lambda data: lambda true: data),
        st.sampled_from(_BYTES).map(lambda data: lambda true: true + data + b"\n" + true),
        st.floats(0, 1).map(lambda share: lambda true: true[: int(len(true) * share)]),
        place.map(lambda at: lambda true: true[: at % (len(true) + 1)] + b"\x80" + true[at % (len(true) + 1) + 1 :]),
        st.tuples(place, place, value, st.sampled_from(["replace", "remove", "add", "wrap"])).map(
            lambda drawn: lambda true: _changed(true, *drawn)
        ),
    )


def _changed(true: bytes, line: int, place: int, value: Any, how: str) -> bytes:
    """One line of the content, with one value changed; what is no JSON stays."""
    lines = true.split(b"\n")
    at = line % len(lines)
    try:
        content = json.loads(lines[at])
    except (ValueError, RecursionError):
        return true
    holder = [content]
    places = list(_places(holder))
    inside, key = places[place % len(places)]
    match how:
        case "replace":
            inside[key] = value
        case "remove" if inside is not holder:
            del inside[key]
        case "add" if isinstance(inside, dict):
            inside["of a newer version"] = value
        case _:
            inside[key] = [inside[key]]
    lines[at] = json.dumps(holder[0]).replace(f'"{_HUGE}"', "1e400").encode()
    return b"\n".join(lines)


def _places(inside: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
        yield inside, key
        if isinstance(inside[key], dict | list):
            yield from _places(inside[key])
