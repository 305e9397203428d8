"""HTML that escapes all foreign content.

Whatever is no `Html` is escaped, and characters that can't be printed, or would reorder what a person reads, are shown
as U+FFFD. `Html` is made by `tag` alone, but for the style sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ...text import printable

__all__ = ["Html", "badge", "join", "section", "table", "tag"]

_EMPTY = frozenset({"meta"})
_SHOWN = 500
"""Rows of a table that a person is shown; the JSON has all of them."""


class Html(str):
    """Text that is markup. Joined with other text it is none any more, and is escaped again."""

    __slots__ = ()


def _html(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(printable(value)))


def join(*parts: object) -> Html:
    """One behind the other; `None` is nothing."""
    return Html("".join(_html(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. `class_` and `aria_label` stand for `class` and `aria-label`; an attribute that is `None` is none.

    Names are constants of ours; values are escaped.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_html(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>" if name in _EMPTY else f"<{name}{given}>{join(*children)}</{name}>")


def badge(text: object, look: str = "") -> Html:
    """A word that stands out; `look` is `good`, `bad`, or nothing."""
    return tag("span", text, class_=f"badge {look}".strip())


def section(id_: str, title: str, *content: object) -> Html:
    """A part of the page with a heading."""
    return tag("section", tag("h2", title, id=f"{id_}-title"), *content, id=id_, aria_labelledby=f"{id_}-title")


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "None.") -> Html:
    """A table whose first column names its rows; without rows, a sentence. It scrolls where it is too wide."""
    every = list(rows)
    if not every:
        return tag("p", empty, class_="none")
    head = tag("thead", tag("tr", *(tag("th", heading, scope="col") for heading in headings)))
    body = tag("tbody", *(_row(row) for row in every[:_SHOWN]))
    whole = tag("table", tag("caption", caption), head, body)
    found = tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")
    if len(every) <= _SHOWN:
        return found
    return join(found, tag("p", f"… and {len(every) - _SHOWN:,} more; the JSON has them all.", class_="more"))


def _row(cells: Sequence[object]) -> Html:
    first, *rest = cells
    return tag("tr", tag("th", first, scope="row"), *(_cell(cell) for cell in rest))


def _cell(value: object) -> Html:
    """Numbers stand to the right."""
    if isinstance(value, int):
        return tag("td", f"{value:,}", class_="number")
    return tag("td", value)
