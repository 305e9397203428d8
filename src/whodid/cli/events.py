"""`whodid events`: lists, checks and documents the event types of the catalog."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import whodid

from ..catalog import Catalog, EventType
from ..catalog.comparison import Finding, compare, read_schema
from ..catalog.stubs import keys_in_words
from ..errors import CatalogError, QueryError
from ..resources import resource_path
from ..settings import Settings
from ..text import printable
from .options import check_conflict, json_option
from .output import print_table

__all__ = ["events"]

catalog_option = click.option("--catalog", "path", metavar="FILE", help="Your own events.toml.")
own_option = click.option("--own", is_flag=True, help="Use the event types that whodid itself records.")


def _reads_catalog(command: Callable[..., None]) -> Callable[..., None]:
    """Pass the catalog that the options or the settings name to a command."""

    def with_catalog(settings: Settings, /, path: str | None, own: bool, **arguments: Any) -> None:
        check_conflict("--own", own, {"--catalog": path is not None})
        command(Catalog.own() if own else Catalog.load(path or settings.catalog), **arguments)

    functools.update_wrapper(with_catalog, command)
    return catalog_option(own_option(click.pass_obj(with_catalog)))


@click.group(
    epilog="""\b
Examples:
  whodid events list
  whodid events show user_sign_in
  whodid events list --catalog events.toml
  whodid events list --own
  whodid events schema > config/audit-entry.schema.json
  whodid events check
  whodid events docs > docs/events.md
  whodid events stubs > typings/whodid/__init__.pyi"""
)
def events() -> None:
    """Look up event types and their rules, and check changes for compatibility."""


@events.command(
    name="list",
    epilog="\b\nExamples:\n  whodid events list --resource workflow\n  whodid events list --json | jq -r .type",
)
@click.option("--resource", help="Only types of this resource.")
@json_option
@_reads_catalog
def list_(catalog: Catalog, resource: str | None, as_json: bool) -> None:
    """List all event types."""
    if resource and resource not in catalog.resources:
        raise QueryError(f"unknown resource {resource!r}; known resources: {', '.join(catalog.resources)}")
    types = [known for known in catalog.types.values() if resource in (None, known.resource)]
    if as_json:
        for known in types:
            click.echo(json.dumps(_as_json(known)))
        return
    rows = [(known.name, catalog.resources[known.resource].label, _about(known)) for known in types]
    print_table(("type", "resource", "about"), rows)


@events.command(
    epilog="\b\nExamples:\n  whodid events show workflow_completed\n"
    "  whodid events show --catalog events.toml invoice_refunded --json"
)
@click.argument("event_type")
@json_option
@_reads_catalog
def show(catalog: Catalog, event_type: str, as_json: bool) -> None:
    """Show one event type with its rules."""
    known = _as_json(catalog.event_type(event_type)) | {"aliases": catalog.aliases(event_type) or None}
    if as_json:
        click.echo(json.dumps(known))
        return
    click.echo(f"{known.pop('type')}: {known.pop('about')}")
    for name, value in known.items():
        if isinstance(value, dict):
            continue
        if value is not None:
            click.echo(f"  {name}: {', '.join(value) if isinstance(value, tuple) else value}")
    for path, words in keys_in_words(catalog.event_type(event_type).rules):
        click.echo(f"  {path}{words}")


@events.command(
    epilog="\b\nExamples:\n  whodid events schema > config/audit-entry.schema.json\n"
    "  whodid events schema --catalog events.toml > audit-entry.schema.json"
)
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON (a schema always is).")
@_reads_catalog
def schema(catalog: Catalog) -> None:
    """Print the JSON Schema (2020-12) of an entry."""
    click.echo(json.dumps(catalog.json_schema(), indent=1))


@events.command(
    epilog="""\b
Examples:
  whodid events check
  whodid events check --catalog events.toml
  git show origin/main:config/audit-entry.schema.json | whodid events check --against -

Exit 1 when there is an error: a type was removed or has a different resource, a field was removed or has a different
type, or the schema is out of date. Stricter rules are warnings, and exit 0."""
)
@click.option(
    "--against",
    metavar="FILE",
    help="Schema to compare with; - is standard input. [default: the one beside the catalog]",
)
@json_option
@catalog_option
@click.pass_obj
def check(settings: Settings, path: str | None, against: str | None, as_json: bool) -> None:
    """Check whether a changed catalog still fits stored entries.

    audit-entry.schema.json beside the catalog must be the current JSON Schema of the catalog.
    """
    path = path or settings.catalog
    catalog = Catalog.load(path)
    in_place = _schema_in_place(path)
    findings = _findings(catalog, against, in_place, _renewal("schema", str(in_place)))
    failed = any(finding.level == "error" for finding in findings)
    if as_json:
        click.echo(json.dumps({"passed": not failed, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            click.echo(printable(f"{finding.level}: {finding.about}"))
        if not findings:
            count = len(catalog.types)
            click.echo(f"{count} event type{'s' * (count != 1)}: compatible with all stored entries")
    sys.exit(1 if failed else 0)


def _findings(catalog: Catalog, against: str | None, in_place: Path, renew: str) -> list[Finding]:
    now = catalog.json_schema()
    source = against or str(in_place)
    before = read_schema(_schema_bytes(source, renew), "standard input" if source == "-" else source)
    findings = compare(before, now)
    if any(finding.level == "error" for finding in findings) or not in_place.is_file():
        return findings  # a newly generated schema would hide these errors
    if read_schema(in_place.read_bytes(), str(in_place)) != now:
        findings.append(
            Finding("error", "stale", in_place.name, f"{in_place} is out of date with the catalog; run {renew}")
        )
    return findings


def _schema_bytes(source: str, renew: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise CatalogError(
            f"the schema {source} can't be read: {error.strerror}; choose another with --against, or create it: {renew}"
        ) from error


def _schema_in_place(catalog: str) -> Path:
    """Return the path of the schema beside a catalog, or of the platform's schema."""
    if catalog:
        return Path(catalog).with_name("audit-entry.schema.json")
    return Path(os.path.relpath(resource_path("config/audit-entry.schema.json")))


@events.command(
    epilog="\b\nExamples:\n  whodid events docs > docs/events.md\n"
    "  whodid events docs --catalog events.toml --check docs/events.md"
)
@click.option("--check", "page", metavar="FILE", help="Print nothing; exit 1 if FILE is out of date.")
@_reads_catalog
def docs(catalog: Catalog, page: str | None) -> None:
    """Print the catalog as a page of Markdown."""
    _print_or_compare(catalog.page(), page)


@events.command(
    epilog="""\b
Examples:
  whodid events stubs > typings/whodid/__init__.pyi
  whodid events stubs --catalog events.toml --check typings/whodid/__init__.pyi

With mypy_path = "typings" in mypy's configuration (pyright finds the folder itself), the type checker reports a wrong
event type, an unknown field, a wrong status and a missing field in calls of whodid.get_logger()."""
)
@click.option("--check", "file", metavar="FILE", help="Print nothing; exit 1 if FILE is out of date.")
@click.option(
    "--closed-details", is_flag=True, help="If details have rules, allow no other keys, and require those with rules."
)
@_reads_catalog
def stubs(catalog: Catalog, file: str | None, closed_details: bool) -> None:
    """Print type stubs that know the catalog's event types."""
    exports = {name: str(getattr(whodid, name).__module__) for name in whodid.__all__}
    _print_or_compare(catalog.stubs(exports, closed_details=closed_details), file)


def _print_or_compare(text: str, file: str | None) -> None:
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        same = Path(file).read_bytes() == text.encode()
    except FileNotFoundError:
        same = False
    if not same:
        name = str(click.get_current_context().info_name)
        raise CatalogError(f"{file} is out of date with the catalog; run {_renewal(name, file)}")


def _renewal(command: str, file: str) -> str:
    """Return the command that writes `file` from the catalog of the running command."""
    given = click.get_current_context().params
    options = ["--catalog", given["path"]] if given["path"] else []
    options += [option for name, option in _FLAGS.items() if given.get(name)]
    return f"{shlex.join(['whodid', 'events', command, *options])} > {shlex.quote(file)}"


_FLAGS = {"own": "--own", "closed_details": "--closed-details"}


def _about(known: EventType) -> str:
    how = "Old name of" if known.alias else "Replaced by"
    return f"{known.about} {how} {known.replaced_by}." if known.replaced_by else known.about


def _as_json(known: EventType) -> dict[str, Any]:
    """Return an event type in the form of events.toml, with the rules of its resource."""
    rules = {name: value for name, value in asdict(known.rules).items() if value}
    return {
        "type": known.name,
        "about": known.about,
        "resource": known.resource,
        "event": known.event,
        "target": known.target,
        "outcome": known.outcome,
        "durability": known.durability,
        "on_failure": known.on_failure,
        "replaced_by": known.replaced_by,
        "says": known.says or None,
        **rules,
    }
