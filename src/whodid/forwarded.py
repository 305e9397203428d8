"""The header `Forwarded` of RFC 7239: who each proxy says it got the request from, read from the right.

A client may send any text, and each proxy puts its own element behind it, so only the right end can be relied on. Read
from the left, a quote that a client leaves open would swallow what the proxies wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["nodes"]

_PAIR_BACKWARDS = re.compile(
    r"""[ \t]*+
        (?:(?P<value> "(?:[^"]|"\\)*+" | [^\s"=;,]*+ ) = (?P<name> [!#$%&'*+.^_`|~0-9A-Za-z-]++ ))?
        [ \t]*+ (?P<end> [;,] | \Z)""",
    re.VERBOSE,
)
"""One `name=value`, each letter of it from the last to the first, and what stands in front of it. A quote inside quotes
is escaped, and backwards its backslash comes after it. Possessive, so that no text takes more than one look."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def nodes(header: str) -> Iterator[str]:
    """`for` of each element, the last one first; empty for an element without one. Ends at what can't be read."""
    backwards, at, found = header[::-1], 0, []
    while pair := _PAIR_BACKWARDS.match(backwards, at):
        at = pair.end()
        if (pair["name"] or "").lower() == "rof":
            found.append(_plain(pair["value"][::-1]))
        if pair["end"] == ";":
            continue
        yield found[0] if len(found) == 1 else ""
        if not pair["end"]:
            return
        found = []


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
