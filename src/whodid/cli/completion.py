"""The completion of shells: what comes next in a query and in options, and words that bash takes apart at colons.

Bash breaks words at the characters of `COMP_WORDBREAKS`, a `:` among them, and puts what is offered in place of the
last part alone. So whodid is asked with the line as it is written, and of each offer only what follows that colon goes
back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

__all__ = ["files", "listed", "offered", "query", "teach_bash", "values_of"]

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


def query(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What may come next in a query: only what begins as it is written, as a shell takes away what doesn't."""
    from ..search.grammar import complete

    found = [(begun[: one.start] + one.text, one.about) for one in complete(begun, {"type": _types()})]
    return [CompletionItem(text, help=about) for text, about in found if text.startswith(begun)]


def offered(values: Iterable[str] | Callable[[], Iterable[str]]) -> Completed:
    """Those of the values that begin as what is written."""

    def completed(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        known = values() if callable(values) else values
        return [CompletionItem(value) for value in known if value.startswith(begun)]

    return completed


def listed(values: Iterable[str]) -> Completed:
    """The same for the last one of several with commas between."""

    def completed(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        before, comma, last = begun.rpartition(",")
        return [CompletionItem(before + comma + value) for value in values if value.startswith(last)]

    return completed


def values_of(field: str) -> Completed | None:
    """For an option that takes values of a field; `None` where they are not known."""
    from ..entry import FIELDS

    if field == "type":
        return offered(_types)
    return offered(FIELDS[field].values) if FIELDS[field].values else None


def files(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shell knows them."""
    return [CompletionItem(begun, type="file")]


def teach_bash() -> None:
    """Words with colons, for the script that `_WHODID_COMPLETE=bash_source whodid` prints, and its questions."""
    add_completion_class(_Bash)


class _Bash(BashComplete):
    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script that click printed
            return super().get_completion_args()
        words = split_arg_string(line)[1:]
        begun = words.pop() if words and not line[-1:].isspace() else ""
        return words, begun


def _types() -> list[str]:
    from ..catalog import Catalog

    return sorted({**Catalog.own().types, **Catalog.load().types})
