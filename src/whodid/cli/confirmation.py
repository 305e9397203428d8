"""The confirmation: a person agrees before entries are deleted, and gives the reason for what is recorded."""

from __future__ import annotations

import sys

import click

from ..errors import WhodidError

__all__ = ["confirm", "reason_option", "yes_option"]

yes_option = click.option("--yes", is_flag=True, help="Don't ask before entries are deleted.")


def _reason(_: click.Context, __: click.Parameter, value: str) -> str:
    """One that can be read: white space and invisible characters alone say nothing."""
    if not any(character.isprintable() and not character.isspace() for character in value):
        raise click.UsageError("--reason must not be empty; it is recorded in the audit log")
    return value


reason_option = click.option("--reason", required=True, callback=_reason, help="Why; it is recorded in the audit log.")


def confirm(loss: str, yes: bool) -> None:
    """Asks before entries are deleted. Raises `WhodidError` where nobody can be asked."""
    if not loss or yes:
        return
    if not sys.stdin.isatty():
        raise WhodidError(f"{loss}: say --yes if that is meant")
    click.confirm(f"{loss}. Go on?", abort=True, err=True)
