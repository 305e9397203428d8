"""The finding: one fact about an installation, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "ok", "problem", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`on` is what it is about: a path, an address, a name. A `problem` must be mended, a `warning` be known."""

    severity: Literal["problem", "warning", "ok"]
    on: str
    what: str
    advice: str = ""
    area: str = ""


def problem(on: object, what: str, advice: str) -> Finding:
    return Finding("problem", str(on), what, advice)


def warning(on: object, what: str, advice: str) -> Finding:
    return Finding("warning", str(on), what, advice)


def ok(on: object, what: str) -> Finding:
    return Finding("ok", str(on), what)
