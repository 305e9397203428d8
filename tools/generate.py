"""Writes the files that are made from code or catalog, so that people can read them; a test compares them.

python -m tools.generate
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
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
from whodid.resources import resource_text
from whodid.settings import Settings
from whodid.shipper.log import EVENTS

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
        "docs/reference/cli.md": _cli_reference(),
        "docs/reference/events.md": Catalog.load().page(),
        "docs/reference/settings.md": _settings(),
        **_filled("explanation/integrity.md", {"tests/attacks/attacks.py": attacks()}),
        **_filled("explanation/security.md", {"tests/live/rights.py": table()}),
        **_filled("how-to/export.md", {FORMS_OF: forms(), "src/whodid/export/ocsf.py and ecs.py": standards()}),
        **_filled("how-to/operations.md", {"src/whodid/shipper/log.py": shipper_events()}),
        **_filled("how-to/search.md", {"src/whodid/query/grammar.py": language()}),
        **_filled("reference/catalog.md", {"config/own-events.toml": own_events()}),
    }


def _filled(page: str, parts: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The page with what is made from each source between its two marks, by the page's path."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for source, lines in parts.items():
        mark = f"<!-- made from {source} by `make generated` -->"
        before, _, after = text.split(mark)
        text = f"{before}{mark}\n{chr(10).join(lines)}\n{mark}{after}"
    return {f"docs/{page}": text}


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


def shipper_events() -> Iterator[str]:
    """What the shipper logs."""
    yield "| event | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items())


def own_events() -> Iterator[str]:
    """The event types that whodid records itself."""
    yield from Catalog.own().page().partition("## Audit log\n\n")[2].rstrip("\n").splitlines()


def _settings() -> str:
    return f"""# Settings

Every setting has a default, so nothing has to be set. Each has one name everywhere: a keyword of
`whodid.configure()`, a key in a settings file (`--config`, or the variable `WHODID_CONFIG`), a
variable such as `WHODID_JOURNAL_DIR`, and an option of every command such as `--journal-dir`. An
unknown key in a file or a call is an error; an unknown `WHODID_` variable is only reported.

`config/whodid.toml` has all of them with their defaults:

```toml
{resource_text("config/whodid.toml").rstrip()}
```
"""


def _cli_reference() -> str:
    rows = "\n".join(f"| `{option}` | {about} |" for option, about in _filters().items())
    return f"""# Command line

Made from `--help` by `make generated`. Every command also has:

| option | meaning |
| --- | --- |
| `--help` | Show the help of the command and exit. |
| `--config FILE` | Settings file (TOML). |
| `--journal-dir VALUE`, `--opensearch-hosts VALUE`, … | [Any setting](settings.md). |

## Filters

Commands that search have an option for each field of an entry. Given several times, any of its
values matches. The [search language](../how-to/search.md#the-search-language) is shorter.

| option | meaning |
| --- | --- |
{rows}

{_help(program, ["whodid"])}"""


def _filters() -> dict[str, str]:
    """Option → help of the filters, which the page lists once."""
    search = program.get_command(click.Context(program), "search")
    return {
        param.opts[0]: param.help or ""
        for param in (search.params if search else ())
        if isinstance(param, click.Option) and param.name in FILTERS and not param.hidden
    }


def _is_filter(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not param.hidden and _filters().get(param.opts[0]) == param.help


def _help(command: click.Command, path: list[str], parent: click.Context | None = None) -> str:
    shown = copy.copy(command)
    shown.add_help_option = False
    shown.params = [param for param in command.params if param.name != "config" and not _is_filter(param)]
    context = click.Context(shown, info_name=path[-1], parent=parent, terminal_width=100, max_content_width=100)
    text = f"## {' '.join(path)}\n\n```text\n{shown.get_help(context).rstrip()}\n```\n"
    if any(map(_is_filter, command.params)):
        text += "\nAlso the [filters](#filters).\n"
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
