"""Masking: values that look like secrets by their name, replaced before a rejected call is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["masked"]

_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth|cookie|session|private|signature|pin\b|otp", re.I)
_MASK = "[masked]"
_DEPTH = 12


def masked(value: object, depth: int = 0) -> Any:
    """A copy made of JSON types only, in which what a secret-looking name holds is masked.

    Values that are not JSON become the name of their type.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping) and depth < _DEPTH:
        return {
            str(name).encode(errors="replace").decode(): (_MASK if _looks_secret(name) else masked(item, depth + 1))
            for name, item in value.items()
        }
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [masked(item, depth + 1) for item in value]
    return f"[{type(value).__name__}]"


def _looks_secret(name: object) -> bool:
    return bool(_SECRET_NAME.search(str(name))) and str(name) not in {"access_token_id"}
