"""Writes the files that are made from code or catalog, so that people can read them; a test compares them.

python -m tools.generate
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from tests.attacks.attacks import table as attacks
from tests.live.rights import table

from whodid.catalog import Catalog
from whodid.catalog.stubs import value_type
from whodid.cli import program
from whodid.cluster.template import index_template
from whodid.entry import FIELDS
from whodid.export import FORMS as EXPORTS
from whodid.export.ecs import CEF_KEYS, ecs_event
from whodid.export.ocsf import type_uid_of
from whodid.retention.ism import policy_body
from whodid.search.grammar import ALIASES, FILTERS, FORMS, KEYED, TIMES, kind_of
from whodid.settings import PATHS, Settings
from whodid.setup.dashboards import ndjson, saved_objects
from whodid.setup.roles import roles
from whodid.shipping.log import EVENTS

_NEWER = "# Event types", "# The platform's newer event types", 1
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
        "config/whodid.toml": "\n".join(settings_file()) + "\n",
        "src/whodid/typing.py": "\n".join(types()) + "\n",
        "docs/reference/cli.md": _cli_reference(),
        "docs/reference/events.md": Catalog.load().page(),
        "docs/reference/events-2.md": Catalog.parse('extends = "platform-2"').page().replace(*_NEWER),
        "docs/reference/settings.md": _settings(),
        **_filled("explanation/integrity.md", {"tests/attacks/attacks.py": attacks()}),
        **_filled("explanation/security.md", {"tests/live/rights.py": table()}),
        **_filled(
            "how-to/export.md",
            {FORMS_OF: forms(), "CEF_KEYS": cef_keys(), "src/whodid/export/ocsf.py and ecs.py": standards()},
        ),
        **_filled("how-to/operations.md", {"src/whodid/shipping/log.py": shipper_events()}),
        **_filled("how-to/search.md", {"src/whodid/search/grammar.py": language()}),
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


def cef_keys() -> Iterator[str]:
    """The field in each key of CEF's dictionary."""
    yield "| key | field |"
    yield "| --- | --- |"
    yield from (f"| `{key}` | `{name}` |" for name, key in sorted(CEF_KEYS.items(), key=lambda one: one[1]))


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
{chr(10).join(settings_file())}
```
"""


SECTIONS = {
    "journal_dir": "Recording",
    "opensearch_hosts": "The cluster",
    "signing_key": "Proof",
    "index_prefix": "Storage and retention",
    "ship": "Shipping",
}
"""The first setting of each section of config/whodid.toml → its heading."""

OF_THE_HOST = {"journal_dir": "/var/lib/app/audit", "host": "web-1"}
"""Settings whose default is another one on each host → an example."""


def settings_file() -> Iterator[str]:
    """config/whodid.toml: each setting with its docstring and its default."""
    yield from _comment(
        "Every setting of whodid with its default. Nothing has to be set: without any file the defaults are in force."
    )
    yield "#"
    yield from _comment(
        "Each setting has one name everywhere: keyword of whodid.configure(), key in this file, WHODID_ variable "
        "(journal_dir is WHODID_JOURNAL_DIR) and option of the command line (--journal-dir). First wins: keyword or "
        'option, variable, file, default. Name the file by whodid.configure("…"), --config or WHODID_CONFIG. Unknown '
        "keys are errors."
    )
    yield "#"
    yield from _comment(
        "A relative path, in this file too, is taken from the working directory in which the settings are read: once, "
        "so that a later change of directory moves nothing. `~` is the user's home."
    )
    documented, hints, defaults = _documented(Settings), get_type_hints(Settings), Settings()
    for setting in fields(Settings):
        if heading := SECTIONS.get(setting.name):
            yield f"\n# --- {heading} {'-' * (93 - len(heading))}"
        yield ""
        yield from _comment(documented[setting.name])
        example = OF_THE_HOST.get(setting.name)
        line = f"{setting.name} = {json.dumps(example or getattr(defaults, setting.name), ensure_ascii=False)}"
        choices = get_args(hints[setting.name]) if get_origin(hints[setting.name]) is Literal else ()
        yield ("# " if example else "") + line + (f"  # {' | '.join(map(json.dumps, choices))}" if choices else "")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False, break_long_words=False
    )


def _documented(cls: type) -> dict[str, str]:
    """Attribute → its docstring, on one line."""
    [node] = (node for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef))
    return {
        attribute.target.id: " ".join(text.value.value.split())
        for attribute, text in pairwise(node.body)
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def types() -> Iterator[str]:
    """whodid/typing.py: the keywords that `configure`, `audit`, `context`, `search` and others take."""
    yield from _TYPES_BEGIN
    hints, documented = get_type_hints(Settings), _documented(Settings)
    yield from _typed_dict(
        "SettingsKeywords(TypedDict, total=False)",
        "Keywords of `whodid.configure`, `AuditClient` and others: the settings. `None` counts as not given.",
        {name: (_of_setting(name, hint), documented[name]) for name, hint in hints.items()},
    )
    call = {name: field for name, field in FIELDS.items() if field.source == "call" and name != "type"}
    pair = ("operation", "phase", "outcome")
    for name, about, names in (
        ("_Fields(TypedDict, total=False)", "What every call may fill.", {*call} - {"principal", *pair}),
        ("_Who(TypedDict, total=False)", "Who acts.", {"principal"}),
        ("_Pair(TypedDict, total=False)", "What `auditing` fills itself.", {*pair}),
        (
            "EntryFields(_Fields, _Who, _Pair, total=False)",
            "Keywords of `context` and `bind`, and of `audit` without `once`.",
            set(),
        ),
        (
            "OperationFields(_Fields, _Who, total=False)",
            "Keywords of `auditing`: `EntryFields` without a pair's.",
            set(),
        ),
        (
            "SystemFields(_Fields, _Pair, total=False)",
            "Keywords of `system`: `EntryFields` without a principal.",
            set(),
        ),
    ):
        yield from _typed_dict(name, about, {n: (_of_entry(n), f.about) for n, f in call.items() if n in names})
    yield from _typed_dict(
        "CallFields(EntryFields, total=False)",
        "Keywords of `audit`: `EntryFields`, and a key.",
        {"once": ("str | None", "a key of this very event: a call that repeats it within a day records nothing")},
    )
    yield from _typed_dict(
        "ExpectedFields(TypedDict, total=False)",
        "Keywords of `assert_recorded`: any field of an entry whose name can be a keyword, with the value it has.",
        {name: ("object", field.about) for name, field in FIELDS.items() if name.isidentifier()},
    )
    times = {name: ("Moment" if name in {"since", "until"} else "str | None", TIMES[name]) for name in TIMES}
    yield from _typed_dict(
        "FilterFields(TypedDict, total=False)",
        "Keywords of a filter: fields, each a value or several of which any may match, and times. `None` is no filter.",
        {name: (_of_filter(name), _about(name)) for name in (*ALIASES, *FILTERS, *KEYED)} | times,
    )
    yield from _typed_dict(
        "SearchKeywords(FilterFields, total=False)",
        "Keywords of `AuditClient.search` and others that find or count entries.",
        {"expired": ("bool", "include entries whose retention is over")},
    )


_TYPES_BEGIN = '''\
"""The keywords that whodid's functions take, for type checkers and editors. Made by `make generated`; don't edit.

For a function of one's own that passes its keywords on:

    def record(event_type: str, **fields: Unpack[whodid.typing.CallFields]) -> None:
        log.audit(event_type, **fields)

whodid itself imports this module for type checkers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

__all__ = [
    "CallFields",
    "Changes",
    "EntryFields",
    "ExpectedFields",
    "FilterFields",
    "Moment",
    "OperationFields",
    "SearchKeywords",
    "SettingsKeywords",
    "SystemFields",
    "Target",
]

Moment: TypeAlias = datetime | str | None
"""An aware datetime, or text: ISO 8601, a period such as `2026-11`, or a span back from now such as `-24h`."""

_Text: TypeAlias = str | Sequence[str] | AbstractSet[str] | None
_Number: TypeAlias = int | str | Sequence[int | str] | AbstractSet[int | str] | None
_Value: TypeAlias = str | float | Sequence[str | float] | AbstractSet[str | float] | None


class Target(TypedDict):
    """One of the further targets of an entry."""

    id: str
    """ID of the resource."""
    type: NotRequired[str]
    """Its kind, such as `credentials`."""
    name: NotRequired[str]
    """Its name at that moment."""


class Changes(TypedDict, total=False):
    """What `whodid.changes` returns, for the keywords of a call."""

    before: dict[str, Any]
    """State image before the change."""
    after: dict[str, Any]
    """State image after the change."""'''.splitlines()


def _typed_dict(head: str, about: str, keys: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield from ("", "", f"class {head}:", f'    """{about}"""')
    yield from [""] if keys else []
    for name, (kind, text) in keys.items():
        yield f"    {name}: {kind}"
        sentence = text[0].upper() + text[1:].rstrip(".") + "."
        yield from textwrap.wrap(
            f'"""{sentence}"""', 116, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )


def _of_setting(name: str, hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"{_literal(get_args(hint))} | None"
    if hint == tuple[str, ...]:
        return "str | list[str] | tuple[str, ...] | None"
    if get_origin(hint) is Mapping:
        return f"Mapping[str, {_literal(get_args(get_args(hint)[1]))}] | None"
    return "str | Path | None" if name in PATHS else f"{hint.__name__} | None"


def _of_entry(name: str) -> str:
    return f"{_literal(FIELDS[name].values)} | None" if FIELDS[name].values else value_type(name)


def _of_filter(name: str) -> str:
    return {"long": "_Number", "flat_object": "_Value"}.get(str(kind_of(name)), "_Text")


def _about(name: str) -> str:
    return ALIASES[name].about if name in ALIASES else FIELDS[name].about


def _literal(values: Iterable[str]) -> str:
    return f"Literal[{', '.join(json.dumps(value) for value in values)}]"


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
