"""`whodid events`: the catalog, for looking things up."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..errors import QueryError
from ..settings import Settings
from .output import print_table

if TYPE_CHECKING:
    from ..catalog import Catalog, EventType

__all__ = ["events"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    epilog="""\b
Examples:
  whodid events list
  whodid events show user_sign_in
  whodid --catalog events.toml events schema > audit-entry.schema.json"""
)
def events() -> None:
    """Look up event types and their rules."""


@events.command(name="list", epilog="\b\nExample:\n  whodid events list --json | jq -r .type")
@click.option("--resource", help="Only types of this resource.")
@json_option
@click.pass_obj
def list_(settings: Settings, resource: str | None, as_json: bool) -> None:
    """List all event types."""
    catalog = _catalog(settings)
    if resource and resource not in catalog.resources:
        raise QueryError(f"there is no resource {resource!r}; resources are {', '.join(catalog.resources)}")
    types = [known for known in catalog.types.values() if resource in (None, known.resource)]
    if as_json:
        for known in types:
            click.echo(json.dumps(_as_json(known)))
        return
    rows = [(known.name, catalog.resources[known.resource].label, known.about) for known in types]
    print_table(("type", "resource", "about"), rows)


@events.command(epilog="\b\nExample:\n  whodid events show workflow_completed")
@click.argument("event_type")
@json_option
@click.pass_obj
def show(settings: Settings, event_type: str, as_json: bool) -> None:
    """Show one event type with its rules."""
    known = _catalog(settings).event_type(event_type)
    if as_json:
        click.echo(json.dumps(_as_json(known)))
        return
    click.echo(f"{known.name}: {known.about}")
    for name, value in _as_json(known).items():
        if value and name not in {"type", "about"}:
            click.echo(f"  {name}: {', '.join(value) if isinstance(value, list) else value}")


@events.command(epilog="\b\nExample:\n  whodid events schema > config/audit-entry.schema.json")
@click.pass_obj
def schema(settings: Settings) -> None:
    """Print the JSON Schema (2020-12) of an entry."""
    click.echo(json.dumps(_catalog(settings).json_schema(), indent=1))


def _catalog(settings: Settings) -> Catalog:
    from ..catalog import Catalog

    return Catalog.load(settings.catalog or None, mode=settings.catalog_mode)


def _as_json(known: EventType) -> dict[str, Any]:
    rules = {name: value for name, value in asdict(known.rules).items() if value}
    rules = {name: list(value) if isinstance(value, tuple) else value for name, value in rules.items()}
    return {
        "type": known.name,
        "about": known.about,
        "resource": known.resource,
        "event": known.event,
        "target": known.target,
        "outcome": known.outcome,
        **rules,
    }
