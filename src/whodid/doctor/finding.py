"""The finding: one fact about an installation, how bad it is, what to do, and how it may be mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Finding", "Fix", "ok", "problem", "warning"]


@dataclass(frozen=True, slots=True)
class Fix:
    """What `whodid doctor --fix` does: something that loses no entry. `make` raises `WhodidError`."""

    says: str
    make: Callable[[OpenSearch], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """`on` is what it is about: a path, an address, a name. A `problem` must be mended, a `warning` be known.

    `about` has more for programs.
    """

    severity: Literal["problem", "warning", "ok"]
    on: str
    what: str
    advice: str = ""
    area: str = ""
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fix: Fix | None = None

    def as_json(self) -> dict[str, Any]:
        names = ("severity", "area", "on", "what", "advice")
        shown: dict[str, Any] = {name: getattr(self, name) for name in names}
        return shown | {"fix": self.fix.says if self.fix else None, **({"about": self.about} if self.about else {})}


def problem(on: object, what: str, advice: str, **more: Any) -> Finding:
    return Finding("problem", str(on), what, advice, **more)


def warning(on: object, what: str, advice: str, **more: Any) -> Finding:
    return Finding("warning", str(on), what, advice, **more)


def ok(on: object, what: str, **more: Any) -> Finding:
    return Finding("ok", str(on), what, **more)
