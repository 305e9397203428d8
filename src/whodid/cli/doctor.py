"""`whodid doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ..display import printable
from ..settings import Settings
from .output import print_json

if TYPE_CHECKING:
    from ..doctor import Finding

__all__ = ["doctor"]

_NAMES = (
    *("disk", "journal", "shipping", "clock", "connection", "rights", "template", "policy"),
    *("versions", "settings", "secrets"),
)
"""Of the areas; a test compares them. The doctor itself is imported when it is asked for."""


@click.command(
    epilog="""\b
Examples:
  whodid doctor                                 problems and warnings, and what to do
  whodid doctor --verbose                       also what is in order
  whodid doctor --only disk --only journal      without asking the cluster
  whodid doctor --json | jq -r 'select(.severity == "problem") | .what'

Changes nothing and writes nothing. Exit 1 when there is a problem; warnings alone are exit 0."""
)
@click.option(
    "--only",
    "only",
    multiple=True,
    type=click.Choice(_NAMES),
    metavar="AREA",
    help=f"One of {', '.join(_NAMES)}; may be repeated.",
)
@click.option("--verbose", is_flag=True, help="Show what is in order as well.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=4.0,
    show_default=True,
    help="Seconds for this host, and again for the cluster.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one a finding.")
@click.pass_context
def doctor(ctx: click.Context, only: tuple[str, ...], verbose: bool, timeout: float, as_json: bool) -> None:
    """Look for what is wrong: disk, journal, cluster, rights, settings."""
    from ..doctor import Subject, examine

    settings = ctx.find_object(Settings) or Settings()
    found = examine(Subject(settings, _config_file(ctx), timeout=timeout), only)
    for finding in found:
        if verbose or finding.severity != "ok":
            print_json(asdict(finding)) if as_json else _print(finding)
    problems, warnings = (sum(one.severity == severity for one in found) for severity in ("problem", "warning"))
    if not as_json:
        click.echo(f"problems: {problems}, warnings: {warnings}, in order: {len(found) - problems - warnings}")
    sys.exit(1 if problems else 0)


def _config_file(ctx: click.Context) -> str:
    from .program import config_file

    return config_file(ctx) or os.environ.get("WHODID_CONFIG", "")


def _print(finding: Finding) -> None:
    click.echo(printable(f"{finding.severity}: {finding.area}: {finding.on}: {finding.what}"))
    if finding.advice:
        click.echo(printable(f"    {finding.advice}"))
