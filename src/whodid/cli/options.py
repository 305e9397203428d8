"""Options that several commands share, and the query of the commands that find entries."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ..entry import FIELDS
from ..errors import InvalidEntry, QueryError, WhodidError
from ..recording.context import check_reason
from ..search import FILTERS, Filter
from ..search.filter import filter_of, ordered
from ..search.grammar import MOMENTS
from ..text import did_you_mean
from . import completion

__all__ = [
    "QUERYING",
    "TIMES",
    "against_option",
    "check_conflict",
    "confirm",
    "expired_option",
    "filters",
    "json_option",
    "query_argument",
    "query_errors",
    "query_filter",
    "reason_option",
    "since_option",
    "until_option",
    "workers_option",
    "yes_option",
]

_MAX_DEFAULT_WORKERS = 4

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def _reason(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        check_reason(value)
    except InvalidEntry as error:
        raise click.UsageError(f"--{error}") from error
    return value


reason_option = click.option(
    "--reason", required=True, callback=_reason, help="The reason; it is recorded in the audit log."
)

against_option = click.option(
    "--against",
    multiple=True,
    metavar="DIR|FILE",
    help="Directory of a witness, or a copy of checkpoints.ndjson. May be given several times.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(os.cpu_count() or 1, _MAX_DEFAULT_WORKERS),
    show_default=f"one per core, {_MAX_DEFAULT_WORKERS} at most",
    help="Number of processes.",
)


def confirm(loss: str, yes: bool) -> None:
    """Ask for confirmation of a loss; an empty `loss` needs none.

    Raises `WhodidError` if standard input is not a terminal.
    """
    if not loss or yes:
        return
    if not sys.stdin.isatty():
        raise WhodidError(f"{loss}: confirm with --yes")
    click.confirm(f"{loss}. Continue?", abort=True, err=True)


Command = TypeVar("Command", bound=Callable[..., Any])

TIMES = """\b
QUERY uses the same search language as the tab (`whodid help search`): by:42, about:6Yk2, type:user_*, -status:ok,
since:-7d, client_ip:10.0.0.0/8, "a text", and, or, ( ).
Times: 2026-11-23, 2026-11-23T08:00:00Z, 2026-11, yesterday, or a time span before now: -30m, -24h, -7d, -4w.
If an option is given several times, any of its values matches. A value that ends in * matches as a prefix."""

QUERYING = {"ignore_unknown_options": True}
"""Context settings of commands with a query and no short options, so that `-status:ok` is part of the query."""

expired_option = click.option(
    "--expired", is_flag=True, help="Include entries past their retention that are not deleted yet."
)


since_option = click.option(
    "--since", metavar="TIME", help="Start time, inclusive.", shell_complete=completion.offered(MOMENTS)
)
until_option = click.option(
    "--until", metavar="TIME", help="End time, exclusive.", shell_complete=completion.offered(MOMENTS)
)
query_argument = click.argument("query", nargs=-1, metavar="[QUERY]...", shell_complete=completion.query)


def check_conflict(option: str, given: object, others: Mapping[str, object]) -> None:
    """Raise `click.UsageError` if an option is given together with one of the others."""
    for other, value in others.items():
        if given and value:
            raise click.UsageError(f"{option} can't be combined with {other}")


def filters(command: Command) -> Command:
    """Add the argument QUERY, the options --since and --until, and one option for each searchable field."""
    for name in reversed(FILTERS):
        option = f"--{name.replace('_', '-')}"
        known = completion.values_of(name)
        about = FIELDS[name].about
        command = click.option(option, name, multiple=True, metavar="VALUE", help=about, shell_complete=known)(command)
    return query_argument(since_option(until_option(command)))


def query_filter(query: tuple[str, ...], since: str | None, until: str | None, given: dict[str, Any]) -> Filter:
    """Combine the query and the options into one filter.

    Raises `QueryError`, and `click.UsageError` for an unknown option in the query.
    """
    for word in query:
        if word.startswith("--"):
            known = [name for param in click.get_current_context().command.params for name in param.opts]
            name = word.partition("=")[0]  # the value may be a secret
            raise click.UsageError(f"No such option: {name}{did_you_mean(name, known)}")
    fields = {name: list(values) for name, values in given.items() if values}
    options = filter_of({**fields, "since": since, "until": until})
    return ordered(Filter.parse(" ".join(query)) & options)


@contextmanager
def query_errors() -> Iterator[None]:
    """Turn a `QueryError` into a usage error, like an unknown option."""
    try:
        yield
    except QueryError as error:
        raise click.UsageError(str(error)) from error
