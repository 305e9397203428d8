"""Writes the files that are made from code or catalog, so that people can read them; a test compares them.

python -m tools.generate
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from tests.attacks.attacks import table as attacks
from tests.live.rights import table

from whodid.catalog import Catalog
from whodid.cli import program
from whodid.entry import FIELDS
from whodid.export import FORMS as EXPORTS
from whodid.export.ecs import ecs_event
from whodid.export.ocsf import type_uid_of
from whodid.opensearch.dashboards import ndjson, saved_objects
from whodid.opensearch.ism import policy_body
from whodid.opensearch.security import roles
from whodid.opensearch.template import index_template
from whodid.query.grammar import FILTERS, FORMS, KEYED
from whodid.settings import Settings

FORMS_OF = "src/whodid/export/forms.py"
ROOT = Path(__file__).resolve().parents[1]


def generated() -> dict[str, str]:
    """Path in the repository → content."""
    return {
        "config/audit-entry.schema.json": json.dumps(Catalog.load().json_schema(), indent=1) + "\n",
        "opensearch/dashboards/audit.ndjson": ndjson(saved_objects(Settings())),
        "opensearch/index-template.json": json.dumps(index_template(Settings()), indent=2) + "\n",
        "opensearch/ism-policy.json": json.dumps(policy_body(Settings()), indent=2) + "\n",
        **{
            f"opensearch/roles/{name}.json": json.dumps(body, indent=2) + "\n"
            for name, body in roles(Settings()).items()
        },
        "docs/cli.md": _cli_reference(),
        "docs/events.md": Catalog.load().page(),
        "docs/own-events.md": Catalog.own().page(),
        "docs/export.md": _filled(
            "export.md", "src/whodid/export/ocsf.py and ecs.py", standards(), _filled("export.md", FORMS_OF, forms())
        ),
        "docs/integrity.md": _filled("integrity.md", "tests/attacks/attacks.py", attacks()),
        "docs/language.md": _filled("language.md", "src/whodid/query/grammar.py", language()),
        "docs/security.md": _filled("security.md", "tests/live/rights.py", table()),
    }


def _filled(page: str, source: str, lines: Iterable[str], text: str = "") -> str:
    """The page, or a text of it, with what is made from the source between its two marks."""
    mark = f"<!-- made from {source} by `make generated` -->"
    before, _, rest = (text or (ROOT / "docs" / page).read_text(encoding="utf-8")).partition(mark)
    _, _, after = rest.partition(mark)
    return f"{before}{mark}\n{chr(10).join(lines)}\n{mark}{after}"


def forms() -> Iterator[str]:
    """What an export can be."""
    yield "| end of the name | `--format` | what it is |"
    yield "| --- | --- | --- |"
    for form in EXPORTS.values():
        ends = ", ".join(f"`{suffix}`" for suffix in form.suffixes)
        yield f"| {ends} | `{form.name}` | {form.about} |"


def standards() -> Iterator[str]:
    """What each event type becomes."""
    yield "| event type | OCSF `type_uid` | ECS `event.category` | ECS `event.type` |"
    yield "| --- | --- | --- | --- |"
    for name, kind in sorted({**Catalog.load().types, **Catalog.own().types}.items()):
        category, types = ecs_event(name, kind.resource)
        yield f"| `{name}` | {type_uid_of(name, kind.resource)} | {category} | {', '.join(types)} |"


def language() -> Iterator[str]:
    """The forms of the search language, and the fields that it knows."""
    yield "| written | means | example |"
    yield "| --- | --- | --- |"
    yield from (f"| {form.syntax} | {form.means} | `{form.example}` |".replace("a | b`", "a \\| b`") for form in FORMS)
    yield ""
    yield "| field | holds |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {FIELDS[name].about} |" for name in (*FILTERS, *KEYED))


def _cli_reference() -> str:
    parts = ["# The command line\n\nMade from `--help` by `make generated`.\n"]
    parts += [_help(program, ["whodid"])]
    return "\n".join(parts)


def _help(command: click.Command, path: list[str], parent: click.Context | None = None) -> str:
    context = click.Context(command, info_name=path[-1], parent=parent, terminal_width=100, max_content_width=100)
    text = f"## {' '.join(path)}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                text += "\n" + _help(child, [*path, name], context)
    return text


if __name__ == "__main__":
    for name, content in generated().items():
        (ROOT / name).write_text(content, encoding="utf-8")
        print(name)
