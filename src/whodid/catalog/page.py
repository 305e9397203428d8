"""The page: a catalog as Markdown, for those who want to know what is recorded without reading TOML."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .model import Contents, DetailRule, EventType, Resource, Rules

__all__ = ["page"]


def page(contents: Contents) -> str:
    """The whole page, ending in a newline."""
    by_resource = {
        name: [known for known in contents.types.values() if known.resource == name] for name in contents.resources
    }
    used = {name: types for name, types in by_resource.items() if types}
    lines = [
        "# Event types",
        "",
        f"Event types: {len(contents.types)}, resources: {len(used)}. Made from the catalog by `whodid events docs`.",
        "",
        *_personal(contents.personal),
    ]
    for name, types in used.items():
        lines += _section(contents.resources[name], types)
    lines += _replaced(contents)
    return "\n".join(lines).rstrip("\n") + "\n"


def _personal(names: frozenset[str]) -> list[str]:
    if not names:
        return []
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return [f"Personal, so hashed in a way that lets them be erased later: {listed}.", ""]


def _section(resource: Resource, types: list[EventType]) -> list[str]:
    return [
        f"## {_text(resource.label)}",
        "",
        f"`target_type` is `{resource.name}`, `target` is {_text(resource.target)}.",
        "",
        "| type | event | what happened | rules |",
        "| --- | --- | --- | --- |",
        *(f"| `{known.name}` | {_text(known.event)} | {_text(known.about)} | {_cell(known)} |" for known in types),
        "",
    ]


def _replaced(contents: Contents) -> list[str]:
    renamed = {name: known.replaced_by for name, known in contents.types.items() if known.replaced_by}
    if not renamed:
        return []
    return [
        "## Replaced types",
        "",
        "Entries under the old names are still valid; new ones are refused.",
        "",
        "| stored as | recorded as |",
        "| --- | --- |",
        *(f"| `{name}` | `{successor}` |" for name, successor in renamed.items()),
    ]


def _cell(known: EventType) -> str:
    if known.replaced_by:
        return f"replaced by `{known.replaced_by}`"
    return "; ".join([*_rules(known.rules), *_handling(known)])


def _handling(known: EventType) -> Iterator[str]:
    if known.outcome:
        yield f"`outcome` is `{known.outcome}` where none is given"
    if known.durability:
        yield f"durability `{known.durability}`"
    if known.on_failure:
        yield f"on failure `{known.on_failure}`"


def _rules(rules: Rules) -> Iterator[str]:
    if rules.requires:
        yield f"needs {_codes(rules.requires)}"
    if rules.forbids:
        yield f"never with {_codes(rules.forbids)}"
    if rules.status:
        yield f"`status` one of {_codes(rules.status)}"
    if rules.not_status:
        yield f"`status` none of {_codes(rules.not_status)}"
    if rules.principal:
        yield f"`principal` is {_codes((rules.principal,))}"
    for key, rule in rules.details.items():
        yield f"`details` holds {_codes((key,))}: {_detail(rule)}"
    if rules.image:
        yield f"of `before` and `after` only {_codes(rules.image)} kept"
    if rules.hashed:
        yield f"{_codes(rules.hashed)} kept as keyed hashes"
    if rules.plain:
        yield f"{_codes(rules.plain)} not secret"
    if rules.because:
        yield f"because {_text(rules.because)}"


def _detail(rule: DetailRule) -> str:
    if rule is None:
        return "any text"
    return _codes((json.dumps(rule),)) if isinstance(rule, bool) else "one of " + _codes(rule)


def _codes(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{_text(word).replace('`', chr(39))}`" for word in words)


def _text(text: str) -> str:
    """Text of a catalog in one cell: a line break or a bar would end it."""
    return " ".join(text.split()).replace("|", r"\|")
