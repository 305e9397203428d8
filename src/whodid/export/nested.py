"""Nested: objects from dotted names, which is how the standards write their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["nested"]


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`; `None` is left out. Values stay as they are."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None:
            continue
        *path, last = name.split(".")
        inner = whole
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return whole
