"""What a catalog holds: resources, event types, and their rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Contents", "DetailRule", "EventType", "Resource", "Rules", "is_name"]

DetailRule = tuple[str, ...] | bool | None
"""What `details` must hold under a key: one of these strings, exactly this boolean, or (`None`) any string."""


_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")


def is_name(text: str) -> bool:
    """Whether a resource or an event type may be called that."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """What an entry must and must not have, besides type, target and principal."""

    requires: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    not_status: tuple[str, ...] = ()
    principal: str = ""
    details: Mapping[str, DetailRule] = field(default_factory=dict)
    image: tuple[str, ...] = ()
    """The only names kept in `before` and `after`; none given means all."""
    hashed: tuple[str, ...] = ()
    """Names in `before`, `after` and `details` whose values are kept as keyed hashes."""
    plain: tuple[str, ...] = ()
    """Names that sound secret and aren't."""
    because: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of thing. `target` says what an entry's target is."""

    name: str
    label: str
    target: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class EventType:
    """Something that happens to a resource; its rules include the resource's."""

    name: str
    resource: str
    event: str
    about: str
    target: str
    rules: Rules
    outcome: Literal["success", "failure", "unknown"] | None = None
    durability: Literal["disk", "process"] | None = None
    on_failure: Literal["raise", "warn"] | None = None
    replaced_by: str | None = None
    """The type to record instead: entries of this one stay valid, new ones are refused."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A whole catalog, checked."""

    resources: Mapping[str, Resource]
    types: Mapping[str, EventType]
    personal: frozenset[str]
