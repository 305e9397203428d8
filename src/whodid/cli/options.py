"""The options that several commands have: JSON, a reason, consent, and what a verification goes by.

Asking: what the commands that find entries share: the query, the options for fields and times, and its errors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
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
    "asked",
    "confirm",
    "expired_option",
    "filters",
    "json_option",
    "query_argument",
    "question",
    "reason_option",
    "since_option",
    "until_option",
    "workers_option",
    "yes_option",
]

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


Command = TypeVar("Command", bound=Callable[..., Any])

TIMES = """\b
QUERY is written in the search language, the same as in the tab (`whodid help search`): principal:42, type:user_*,
-status:ok, since:-7d, client_ip:10.0.0.0/8, "a text", and, or, ( ).
Times: 2026-11-23, 2026-11-23T08:00:00Z, 2026-11, yesterday, or a span back from now: -30m, -24h, -7d, -4w.
An option may be given several times: any of its values matches. A value that ends in * is a beginning."""

QUERYING = {"ignore_unknown_options": True}
"""Of commands with a query and without short options: `-status:ok` is a part of the query."""

expired_option = click.option(
    "--expired", is_flag=True, help="Also entries whose time is over, as long as they are not deleted."
)


since_option = click.option(
    "--since", metavar="TIME", help="From this time on.", shell_complete=completion.offered(MOMENTS)
)
until_option = click.option(
    "--until", metavar="TIME", help="Before this time.", shell_complete=completion.offered(MOMENTS)
)
query_argument = click.argument("query", nargs=-1, metavar="[QUERY]...", shell_complete=completion.query)


def filters(command: Command) -> Command:
    """The argument QUERY, the options --since and --until, and one for each field that can be searched by."""
    for name in reversed(FILTERS):
        option = f"--{name.replace('_', '-')}"
        known = completion.values_of(name)
        about = FIELDS[name].about
        command = click.option(option, name, multiple=True, metavar="VALUE", help=about, shell_complete=known)(command)
    return query_argument(since_option(until_option(command)))


def asked(query: tuple[str, ...], since: str | None, until: str | None, given: dict[str, Any]) -> Filter:
    """The query and the options as one filter. Raises `QueryError`, and `UsageError` for an unknown option in it."""
    for word in query:
        if word.startswith("--"):
            known = [f"--{name.replace('_', '-')}" for name in FILTERS]
            name = word.partition("=")[0]  # what follows may be a secret
            raise click.UsageError(f"No such option: {name}{did_you_mean(name, known)}")
    options = filter_of({name: list(values) for name, values in given.items() if values}, since, until)
    return ordered(Filter.parse(" ".join(query)) & options)


@contextmanager
def question() -> Iterator[None]:
    """A question that can't be asked is wrong usage, as an unknown option is."""
    try:
        yield
    except QueryError as error:
        raise click.UsageError(str(error)) from error
