"""Output: entries and counts as tables for people and as JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..display import json_text, printable
from ..entry import FIELDS
from ..errors import QueryError
from ..spelling import did_you_mean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "COLUMNS",
    "columns_of",
    "print_counts",
    "print_entries",
    "print_entry",
    "print_json",
    "print_table",
    "progress",
]

COLUMNS = {
    "when": "creation_date",
    "type": "type",
    "target": "target",
    "principal": "principal",
    "client IP": "client_ip",
    "status": "status",
    "organization": "organization_name",
    "workspace": "workspace_name",
}
"""Heading → field of the table that people see, the least important last; `--json` has them all."""

_WIDTH_IN_A_PIPE = 200


def print_json(value: object) -> None:
    """One JSON value on a line of standard output; characters that could steer a terminal are escaped."""
    click.echo(json_text(value))


def columns_of(text: str | None) -> dict[str, str] | None:
    """The columns that somebody asked for: heading → field. Raises `QueryError` for a field that there isn't."""
    if not text:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name.partition(".")[0] not in FIELDS:
            raise QueryError(f"there is no field {name}{did_you_mean(name, FIELDS)} to show")
    return {name: name for name in names}


def print_entries(entries: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> int:
    """A table of those columns, or of as many as fit; returns how many entries there were.

    What is longer than the screen goes through a pager.
    """
    wanted = columns or COLUMNS
    rows = [{heading: _cell(entry, field) for heading, field in wanted.items()} for entry in entries]
    if rows:
        console = _console()
        shown = list(wanted) if columns else _fitting(rows, console.width)
        table = _table(shown, [[row[heading] for heading in shown] for row in rows])
        if console.is_terminal and len(rows) >= console.height:
            with console.pager(styles=True):
                console.print(table)
        else:
            console.print(table)
        if hidden := [heading for heading in wanted if heading not in shown]:
            click.echo(f"not shown at this width: {', '.join(hidden)}; --columns chooses, --json has all", err=True)
    return len(rows)


def print_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A plain table; text that doesn't fit goes on in the next line."""
    _console().print(_table(headings, rows))


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    # In a pipe there is no width to fit, and a folded line would be of no use.
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_IN_A_PIPE)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _fitting(rows: list[dict[str, str]], width: int) -> list[str]:
    """The headings, from the most important on, whose columns fit side by side."""
    shown: list[str] = []
    for heading in COLUMNS:
        width -= max(len(heading), *(len(row[heading]) for row in rows)) + 2
        if width < -2 and shown:
            break
        shown.append(heading)
    return shown


def _cell(entry: Mapping[str, Any], field: str) -> str:
    name, *keys = field.split(".")
    value = entry.get(name)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict | list):
        return json_text(value)
    if value is None and field in {"organization_name", "workspace_name"}:
        value = entry.get(field.replace("_name", "_id"), "N/A")
    return printable(value)


def print_entry(entry: Mapping[str, Any]) -> None:
    """All fields of one entry, a line each."""
    rows = []
    for name, value in entry.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        rows.append((name, printable(shown)))
    print_table(("field", "value"), rows)


def print_counts(field: str, counts: Mapping[str, int]) -> None:
    """Counts with a bar each, so that a look is enough."""
    largest = max(counts.values(), default=1)
    rows = [
        (printable(value), f"{count:,}", "█" * max(1, round(20 * count / largest))) for value, count in counts.items()
    ]
    print_table((field, "entries", ""), rows)


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, told how much is done and how much there is; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
