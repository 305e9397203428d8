"""The catalog: the event types of an application, read from events.toml, and the check of entries against their rules.

Calls are checked by validators compiled from the JSON Schema of the catalog, so the checks always agree with the
committed config/audit-entry.schema.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidEntry
from ..text import json_text, near, printable, shown
from .model import (
    HOLE,
    OPTIONAL,
    Contents,
    EventType,
    Resource,
    Rules,
    compiled,
    is_name,
    load,
    named_now,
    own,
    parse,
    preset,
    preset_with,
)
from .schema import entry_schema, given_schema, type_schema, violations

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["Catalog", "EventType", "Resource", "Rules", "sentence"]


class Catalog:
    """The event types that an application may record. Immutable; validators are compiled on first use of a type."""

    def __init__(self, contents: Contents) -> None:
        self.resources = contents.resources
        self.types = contents.types
        self.personal = contents.personal
        self._contents = contents
        # now, not at the first call: a fork during an import leaves its lock held in the child
        import jsonschema_rs  # noqa: F401 (as the comment says)

        self._entries: dict[str, jsonschema_rs.Validator] = {}
        self._given: dict[str, jsonschema_rs.Validator] = {}

    @classmethod
    def load(cls, path: str | Path | None = None) -> Catalog:
        """The catalog of the events.toml at `path`, or the platform's if there is none. Raises `CatalogError`."""
        return cls(load(path))

    @classmethod
    def parse(cls, text: str, *, name: str = "events.toml") -> Catalog:
        """A catalog from TOML text. Raises `CatalogError`."""
        return cls(parse(text, name))

    @classmethod
    def own(cls) -> Catalog:
        """The event types that whodid itself records: access to the audit log and administrative actions."""
        return cls(own())

    @property
    def current(self) -> list[str]:
        """The names under which to record: without those that are replaced, and without old names."""
        return [name for name, known in self.types.items() if not known.replaced_by]

    def aliases(self, name: str) -> list[str]:
        """The old names of an event type."""
        return [old for old, known in self.types.items() if known.alias and named_now(self.types, old).name == name]

    def event_type(self, name: str) -> EventType:
        """The event type of that name. Raises `InvalidEntry` with the TOML that would add it."""
        try:
            return self.types[name]
        except (KeyError, TypeError):
            raise InvalidEntry(self._unknown(name)) from None

    def _unknown(self, name: object) -> str:
        meant = near(name.lower(), self.types, 3) if isinstance(name, str) else []
        hint = f" Did you mean {', '.join(meant)}?" if meant else ""
        if not isinstance(name, str) or not is_name(name):
            return (
                f"the event type must be a name such as 'credentials_created': lower-case letters, digits and _.{hint}"
            )
        resource, _, event = name.rpartition("_")
        resource, event = (resource, event) if resource and event else (name, name)
        if found := preset_with(name):
            hint = f' The platform has it: write `extends = "{found}"` at the top of events.toml to use its types.'
        table = f'[resources.{resource}]\nlabel = "…"\ntarget = "the …\'s ID"\n\n'
        if resource in self.resources:
            table = 'extends = "platform"\n\n' if self._contents is preset("platform") else ""
        return (
            f"there is no event type {name!r} in the catalog.{hint} To add it, put this into your events.toml, and "
            f"set `catalog` to that file:\n\n{table}"
            f'[types.{name}]\nresource = "{resource}"\nevent = "{event}"\nabout = "…"\n'
        )

    def check(self, entry: Mapping[str, Any]) -> None:
        """Checks an entry, complete except for its place in the chain, against the rules of its type.

        Raises `InvalidEntry`, which names each field and rule that is broken, and never a value.
        """
        name = entry["type"]
        try:
            fits = (self._entries.get(name) or self._compile(name, type_schema, self._entries)).is_valid(entry)
        except ValueError:  # a value of a type that JSON does not have
            fits = False
        if not fits:
            found = violations(self.event_type(name), entry) or ["it violates config/audit-entry.schema.json"]
            raise InvalidEntry(f"{name}: " + "; ".join(found))

    def fits(self, name: str) -> Callable[[Mapping[str, Any]], bool]:
        """A function that returns whether the fields a caller gives for an entry of type `name` keep its rules.

        It costs half as much as `check`, and raises `ValueError` for a value of a type that JSON lacks. Raises
        `InvalidEntry` for a type that is no longer recorded.
        """
        return (self._given.get(name) or self._compile(name, given_schema, self._given)).is_valid

    def _compile(
        self, name: str, schema: Callable[[EventType], dict[str, Any]], validators: dict[str, jsonschema_rs.Validator]
    ) -> jsonschema_rs.Validator:
        known = self.event_type(name)
        if replaced_by := named_now(self.types, name).replaced_by:
            raise InvalidEntry(
                f"{name} is replaced by {replaced_by} and no longer recorded; "
                f"record {replaced_by}, whose rules `whodid events show {replaced_by}` prints"
            )
        validators[name] = compiled(schema(known))
        return validators[name]

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a complete entry of any type of the catalog."""
        return entry_schema(self._contents)

    def sentence(self, entry: Mapping[str, Any]) -> str:
        """An entry in words, on one line: `says` of its type with its values, or a sentence made from `about`.

        Also for an entry whose type the catalog lacks. Never raises, and nothing in a value is interpreted.
        """
        return sentence(self.types, entry)

    def page(self) -> str:
        """The catalog as a page of Markdown."""
        from .stubs import page

        return page(self._contents)

    def stubs(self, exports: Mapping[str, str], *, closed_details: bool = False) -> str:
        """The type stub of the package whodid for this catalog; `exports` maps its public names to their modules."""
        from .stubs import stubs

        return stubs(self._contents, exports, closed_details=closed_details)


_LONGEST_VALUE, _LONGEST_SENTENCE = 128, 500
_INSTEAD = {
    "principal_name": ("principal_email", "principal"),
    "target_name": ("target", "target_type"),
    "organization_name": ("organization_id",),
    "workspace_name": ("workspace_id",),
}
"""Field → those that identify the same object, for when it is absent."""


def sentence(types: Mapping[str, EventType], entry: Mapping[str, Any]) -> str:
    """As `Catalog.sentence`, without a catalog that can check entries."""
    name = _value(entry, "type") or "entry"
    known = types.get(name) or own().types.get(name)
    if known and known.says:
        pieces = OPTIONAL.split(known.says)  # every other one is optional
        text = "".join(_filled(piece, entry, optional=bool(number % 2)) for number, piece in enumerate(pieces))
    else:
        text = _default(known.about if known else name.replace("_", " ").capitalize(), entry)
    if text.startswith(tuple(_CALLED.values())):
        text = text[0].upper() + text[1:]
    return printable(shown(text, _LONGEST_SENTENCE) + _notes(known, entry))


def _filled(text: str, entry: Mapping[str, Any], *, optional: bool) -> str:
    parts = HOLE.split(text)  # every other one is the name of a field
    values = [_value(entry, name) for name in parts[1::2]]
    if optional and "" in values:
        return ""
    names = (name.rpartition(".")[2].replace("_", " ") for name in parts[1::2])
    parts[1::2] = [value or f"unknown {name}" for name, value in zip(names, values, strict=True)]
    return "".join(parts)


def _default(about: str, entry: Mapping[str, Any]) -> str:
    """`Ada launched a run: 2uJ4`, or `A team was added: 9 (by Ada)`."""
    who, what = _value(entry, "principal_name"), _value(entry, "target_name")
    about = _FIRST_CLAUSE.match(" ".join(about.split()))[0]  # type: ignore[index]  # it matches any text
    by = f" (by {who})" if who else ""
    if who and about.startswith("Someone "):
        about, by = who + about.removeprefix("Someone"), ""
    return about + (f": {what}" if what else "") + by


def _value(entry: Mapping[str, Any], path: str) -> str:
    for name in (path, *_INSTEAD.get(path, ())):
        value: Any = entry
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            several = isinstance(value, list) and all(isinstance(one, str) for one in value)
            text = value if isinstance(value, str) else ", ".join(value) if several else json_text(value)
            words = " ".join(text[:_LONGEST_SENTENCE].split())
            if words := _CALLED.get(text, words) if name == "principal" else words:
                return shown(words, _LONGEST_VALUE)
    return ""


def _notes(known: EventType | None, entry: Mapping[str, Any]) -> str:
    """What must not be missing from a sentence about an action: that it failed or only began, and for whom it was."""
    says, outcome = known.says if known else "", str(entry.get("outcome"))
    notes = ["started"] if entry.get("phase") == "intent" else []
    if outcome in {"failure", "unknown"} and not (known and known.outcome == outcome) and "{outcome}" not in says:
        notes.append("failed" if outcome == "failure" else "outcome unknown")
    if "{on_behalf_of}" not in says and (other := _value(entry, "on_behalf_of")):
        notes.append(f"on behalf of {other}")
    return f" ({', '.join(notes)})" if notes else ""


_FIRST_CLAUSE = re.compile(r".*?(?=[.:;](?:\s|$)|$)")
_CALLED = {"system": "the system", "anonymous": "someone unknown"}
"""Principal → what a sentence calls it."""
