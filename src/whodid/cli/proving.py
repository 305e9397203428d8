"""The options of commands that verify: by which checkpoints, and with how many processes."""

from __future__ import annotations

import os

import click

__all__ = ["against_option", "workers_option"]

_MOST_BY_DEFAULT = 4

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
