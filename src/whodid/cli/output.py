"""Output of entries and counts, as tables for people and as JSON lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..entry import FIELDS, entry_id
from ..errors import QueryError
from ..search.grammar import kind_of
from ..text import did_you_mean, json_text, printable
from ..text import shown as cut

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "COLUMNS",
    "columns_of",
    "print_bars",
    "print_counts",
    "print_entries",
    "print_entry",
    "print_json",
    "print_lines",
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
"""Heading → field of the default table, most important first."""

_ENTRY_ID = "entry_id"
_WIDEST = (40, 24, 16)
"""Maximum widths of a cell to try, in characters; longer values are folded to leave room for other columns."""
_NEEDED = tuple(COLUMNS)[:4]
_WHOLE = tuple(COLUMNS)[:2]
"""Columns that are never folded."""

_WIDTH_IN_A_PIPE = 200
_UNFOLDED = 1_000_000
_LONGEST = 1000
"""Maximum number of characters of a cell: all cells of a column are padded to the longest one."""
_SHORTEST = 5
"""Minimum length of the longest bar, in characters, on a narrow terminal."""


def print_json(value: object) -> None:
    """Print one JSON value on one line, with terminal control characters escaped."""
    click.echo(json_text(value))


def columns_of(text: str | None) -> dict[str, str] | None:
    """Parse a comma-separated list of columns into heading → field; `None` for an empty one.

    `entry_id` is allowed as well. Raises `QueryError` for an unknown field.
    """
    if not text:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != _ENTRY_ID and name not in FIELDS and kind_of(name) != "flat_object":
            raise QueryError(f"unknown field {name!r}{did_you_mean(name, (*FIELDS, _ENTRY_ID))}")
    return {name: name for name in names}


def print_entries(entries: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> int:
    """Print a table of the given columns, or of as many default columns as fit; return the number of entries.

    Entries that were recorded later than they happened get a column for that time. A table longer than the screen is
    shown in a pager. In a pipe each entry takes one line.
    """
    entries, wanted = list(entries), columns or COLUMNS
    if not columns and any("occurred_at" in entry for entry in entries):
        wanted = {"when": "creation_date", "occurred": "occurred_at", **COLUMNS}
    rows = [{heading: cut(_cell(entry, field), _LONGEST) for heading, field in wanted.items()} for entry in entries]
    if rows:
        console = _console(_UNFOLDED)
        fitted = console.is_terminal and not columns
        shown, widest = _fitting(rows, console.width) if fitted else (list(wanted), None)
        table = _table(shown, [[row[heading] for heading in shown] for row in rows], widest)
        if console.is_terminal and len(rows) >= console.height:
            with console.pager(styles=True):
                console.print(table)
        else:
            console.print(table)
        if hidden := [heading for heading in wanted if heading not in shown]:
            click.echo(f"not shown at this width: {', '.join(hidden)}; choose with --columns, or use --json", err=True)
    return len(rows)


def print_lines(entries: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None, *, as_json: bool) -> None:
    """Print one line per entry, as soon as there is one: the given or the most important columns, or JSON."""
    fields = columns or tuple(COLUMNS.values())[:6]
    for entry in entries:
        print_json(entry) if as_json else click.echo("  ".join(_cell(entry, field) or "-" for field in fields))


def print_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a plain table; text that doesn't fit is folded."""
    _console().print(_table(headings, rows))


def _console(in_a_pipe: int = _WIDTH_IN_A_PIPE) -> Console:
    """Return a console as wide as the terminal, or `in_a_pipe` characters wide if there is none."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=in_a_pipe)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]], widest: int | None = None) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", max_width=None if heading in _WHOLE else widest)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _fitting(rows: list[dict[str, str]], width: int) -> tuple[list[str], int]:
    """Return the most important headings whose columns fit side by side, and the maximum width of a column."""
    found = [(_fitted(rows, width, widest), widest) for widest in _WIDEST]
    return max(found, key=lambda one: len(set(one[0]) & set(_NEEDED)))


def _fitted(rows: list[dict[str, str]], width: int, widest: int) -> list[str]:
    from rich.cells import cell_len

    shown: list[str] = []
    for heading in rows[0]:
        natural = max(cell_len(heading), *(cell_len(row[heading]) for row in rows))
        width -= (natural if heading in _WHOLE else min(natural, widest)) + 2
        if width < -2 and shown:
            break
        shown.append(heading)
    return shown


def _cell(entry: Mapping[str, Any], field: str) -> str:
    name, *keys = field.split(".")
    value = entry_id(entry) if field == _ENTRY_ID else entry.get(name)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict | list):
        return json_text(value)
    if value is None and field in {"organization_name", "workspace_name"}:
        value = entry.get(field.replace("_name", "_id"), "N/A")
    return printable(value)


def print_entry(entry: Mapping[str, Any]) -> None:
    """Print the fields of one entry, one per line."""
    print_table(("field", "value"), [(name, printable(value)) for name, value in entry.items()])


def print_counts(field: str, counts: Mapping[str, int]) -> None:
    """Print counts of the values of a field, each with a bar."""
    print_bars(field, [(cut(printable(value), _LONGEST), count) for value, count in counts.items()], 20)


def print_bars(heading: str, counts: Sequence[tuple[str, int]], widest: int) -> None:
    """Print counts, each with a bar as wide as the terminal allows, and of at most `widest` characters."""
    from rich.cells import cell_len

    console = _console(_UNFOLDED)
    names = max(map(cell_len, (heading, *(name for name, _ in counts))))
    longest = _WIDEST[0] if console.is_terminal else None
    room = console.width - min(names, longest or names) - len("1,000,000") - 4
    widest, largest = max(min(widest, room), _SHORTEST), max((count for _, count in counts), default=0)
    rows = [(name, f"{count:,}", _bar(count, largest, widest)) for name, count in counts]
    console.print(_table((heading, "entries", ""), rows, longest))


def _bar(count: int, largest: int, width: int) -> str:
    """Draw a bar in eighths of a character; a count above 0 is always visible."""
    eighths = max(round(width * 8 * count / largest), 1) if count else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes the amounts done and in total, and shows a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
