"""Shell completion of queries and option values, including words that contain colons in bash.

Bash breaks words at the characters of `COMP_WORDBREAKS`, a `:` among them, and replaces only the last part. The
completion script therefore passes the whole line to whodid and removes from each candidate what precedes that part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

__all__ = ["files", "listed", "offered", "query", "register_bash", "values_of"]

_SOURCE = r"""%(complete_func)s() {
    local IFS=$'\n' line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]} cut response completion type value
    cut=${line##*[[:space:]]}
    [[ $current == [:=]* ]] || cut=${cut%%"$current"}
    response=$(env COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == file ]]; then
            COMPREPLY=()
            compopt -o default
        else
            value=${value#"$cut"}
            [[ $value == *[:=] ]] && compopt -o nospace
            COMPREPLY+=("$value")
        fi
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

Completed = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def query(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete a query; a shell discards candidates that do not start with what is typed."""
    from ..search.grammar import complete

    found = [(typed[: one.start] + one.text, one.about) for one in complete(typed, {"type": _types()})]
    return [CompletionItem(text, help=about) for text, about in found if text.startswith(typed)]


def offered(values: Iterable[str] | Callable[[], Iterable[str]]) -> Completed:
    """Complete one of the values."""

    def completed(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        known = values() if callable(values) else values
        return [CompletionItem(value) for value in known if value.startswith(typed)]

    return completed


def listed(values: Iterable[str]) -> Completed:
    """Complete the last value of a comma-separated list."""

    def completed(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        return [CompletionItem(before + comma + value) for value in values if value.startswith(last)]

    return completed


def values_of(field: str) -> Completed | None:
    """Return the completion for an option that takes values of a field, or `None` if the values are unknown."""
    from ..entry import FIELDS

    if field == "type":
        return offered(_types)
    return offered(FIELDS[field].values) if FIELDS[field].values else None


def files(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Let the shell complete file names."""
    return [CompletionItem(typed, type="file")]


def register_bash() -> None:
    """Use the completion script above for bash, which completes words that contain colons."""
    add_completion_class(_Bash)


class _Bash(BashComplete):
    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE")
        if line is None:  # a completion script that click generated
            return super().get_completion_args()
        words = split_arg_string(line)[1:]
        typed = words.pop() if words and not line[-1:].isspace() else ""
        return words, typed


def _types() -> list[str]:
    """Return the event types of the catalog in force; while it can't be used, only those of whodid itself."""
    from ..catalog import Catalog
    from ..errors import WhodidError
    from ..settings import load_settings

    own = Catalog.own().types
    try:
        return sorted({**own, **Catalog.load(load_settings().catalog).types})
    except WhodidError:
        return sorted(own)
