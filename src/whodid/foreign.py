"""Foreign content: what somebody else wrote, or another version, where whodid reads its own files and answers.

Each boundary reads in one `try`, and turns `FOREIGN` into what it says about such content: an error of whodid's own, or
that there is nothing. Behind it, types are what they say.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["FOREIGN", "json_of", "object_of", "objects_in", "text_of"]

FOREIGN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What code raises that takes content for another than it is."""


def json_of(data: bytes) -> Any:
    """JSON, parsed. Raises `ValueError`, also for a number that is none (1e400, NaN), and for a nesting without end."""
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def text_of(value: object) -> str:
    """A text that can be written somewhere. Raises `ValueError` for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"not a text but {type(value).__name__}")
    value.encode()
    return value


def object_of(value: object) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[dict[str, Any]]:
    """The JSON objects in a list, without what else is in it; none for anything but a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number without bounds")
    return number


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
