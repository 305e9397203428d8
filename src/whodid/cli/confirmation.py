"""The confirmation: a person agrees before entries are deleted."""

from __future__ import annotations

import sys

import click

from ..errors import WhodidError

__all__ = ["confirm", "yes_option"]

yes_option = click.option("--yes", is_flag=True, help="Don't ask before entries are deleted.")


def confirm(loss: str, yes: bool) -> None:
    """Asks before entries are deleted. Raises `WhodidError` where nobody can be asked."""
    if not loss or yes:
        return
    if not sys.stdin.isatty():
        raise WhodidError(f"{loss}: say --yes if that is meant")
    click.confirm(f"{loss}. Go on?", abort=True, err=True)
