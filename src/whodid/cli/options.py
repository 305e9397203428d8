"""The options that several commands have: JSON, a reason, consent, and what a verification goes by."""

from __future__ import annotations

import os
import sys

import click

from ..errors import InvalidEntry, WhodidError
from ..recording.context import check_reason

__all__ = ["against_option", "confirm", "json_option", "reason_option", "workers_option", "yes_option"]

_MOST_BY_DEFAULT = 4

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")

yes_option = click.option("--yes", is_flag=True, help="Don't ask before entries are deleted.")


def _reason(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        check_reason(value)
    except InvalidEntry as error:
        raise click.UsageError(f"--{error}") from error
    return value


reason_option = click.option("--reason", required=True, callback=_reason, help="Why; it is recorded in the audit log.")

against_option = click.option(
    "--against",
    multiple=True,
    metavar="DIR|FILE",
    help="Checkpoints that a witness kept, or a copy of checkpoints.ndjson. May be given several times.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(os.cpu_count() or 1, _MOST_BY_DEFAULT),
    show_default=f"one a core, {_MOST_BY_DEFAULT} at most",
    help="Processes.",
)


def confirm(loss: str, yes: bool) -> None:
    """Asks before entries are deleted. Raises `WhodidError` where nobody can be asked."""
    if not loss or yes:
        return
    if not sys.stdin.isatty():
        raise WhodidError(f"{loss}: say --yes if that is meant")
    click.confirm(f"{loss}. Go on?", abort=True, err=True)
