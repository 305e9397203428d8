"""Asking: what the commands that find entries share: the query, the options for fields and times, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ..entry import FIELDS
from ..errors import QueryError
from ..search import FILTERS, Filter
from ..search.filter import filter_of, ordered
from ..search.grammar import MOMENTS
from ..text import did_you_mean
from . import completion

__all__ = [
    "QUERYING",
    "TIMES",
    "asked",
    "expired_option",
    "filters",
    "query_argument",
    "question",
    "since_option",
    "until_option",
]

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
