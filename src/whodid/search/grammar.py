"""The grammar of the search language: its fields, operators and limits, the tokens of a query, and completion.

A field that entries have becomes searchable by its line in `whodid.entry.FIELDS`, and an alias such as `by:` by one in
`ALIASES`. A new kind of condition is a `Filter` (`search/filter.py`) with its clause in `search/body.py`.

A query consists of terms. Terms side by side must all match; `or` binds least, `not` most, and brackets group. `FORMS`
is what docs/how-to/search.md says of it, and a test parses every example there.

`complete` suggests what may come next in an unfinished query, for shells and for the search box of the tab.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..entry import FIELDS, FREE_FIELDS, TARGET_KEYS, Kind
from ..errors import QueryError

__all__ = [
    "ALIASES",
    "AND",
    "FILTERS",
    "FORMS",
    "ID_FIELDS",
    "KEYED",
    "LONGEST",
    "LONGEST_WORD",
    "MOMENTS",
    "MOST_PREFIXES",
    "MOST_VALUES",
    "MOST_WORDS",
    "NOT",
    "OF_TARGETS",
    "OR",
    "PERIODS",
    "SYNONYMS",
    "TIMES",
    "UNITS",
    "WORD_FIELDS",
    "Alias",
    "Form",
    "Piece",
    "Suggestion",
    "complete",
    "kind_of",
    "misplaced",
    "pieces",
    "unescaped",
]

LONGEST = 10_000
"""Maximum length of a query, in characters."""

MOST_WORDS = 20
"""Maximum number of words without a field: OpenSearch compares each with every value of seven fields."""

LONGEST_WORD = 256
"""Maximum length of such a word, in characters."""

MOST_PREFIXES = 100
"""Maximum number of prefixes (`credentials_*`) in one query: each stands for all values that begin with it."""

MOST_VALUES = 1000
"""Maximum number of values of one field in one query; OpenSearch allows 1,024 clauses."""

AND = ("and", "&")
OR = ("or", "|")
NOT = ("not",)
"""Operators, in upper or lower case; a `-` right before a term also means `not`."""

TIMES = {
    "since": "from that moment on; the beginning of a period",
    "until": "before that moment; the beginning of a period",
    "time": "within a period, or from one up to another: `2026-01..2026-03`",
    "occurred_at": "as `time`, for when it happened, of entries that were recorded later",
}
"""Terms that look like fields, and select by the time of an entry."""

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
"""The units of spans before now, such as `-7d`."""

PERIODS = ("today", "yesterday", "this-week", "last-week", "this-month", "last-month", "this-year", "last-year")
"""Names of periods, which begin and end at midnight UTC, and weeks on Monday."""

MOMENTS = (*PERIODS, "-1h", "-24h", "-7d", "-30d", "-90d")
"""Times that completion suggests."""

FILTERS = tuple(name for name, field in FIELDS.items() if field.kind in {"keyword", "ip", "long"})
"""Searchable fields with one value."""

OF_TARGETS = tuple(f"targets.{key}" for key in TARGET_KEYS)
"""Searchable keys of further targets."""

KEYED = (*FREE_FIELDS, "shortened")
"""Fields that hold objects: `details:value` is any value in it, `details.key:value` the value of one key."""


class Alias(NamedTuple):
    """A name that is searched by like a field, and matches if one of these `fields` does."""

    fields: tuple[str, ...]
    about: str


ALIASES = {
    "by": Alias(("principal", "on_behalf_of"), "what a principal did, or others did on their behalf"),
    "about": Alias(("target", "targets.id"), "what happened to a target, also among others"),
}

WORD_FIELDS = (
    "target_name",
    "targets.name",
    "principal_name",
    "principal_email",
    "organization_name",
    "workspace_name",
    "status",
    "details",
)
"""The fields that a word without a field is searched in."""

ID_FIELDS = (
    *("target", "targets.id", "principal", "on_behalf_of", "organization_id", "workspace_id"),
    *("access_token_id", "session_id", "correlation_id", "request_id", "trace_id", "operation"),
    *("type", "journal", "hash"),
)
"""The fields that such a word is compared with as a whole, so that a pasted ID is found in whichever field it is."""

SYNONYMS = {
    "action": "type",
    "actor": "principal",
    "address": "client_ip",
    "after_date": "since",
    "before_date": "until",
    "creation_date": "time",
    "@timestamp": "time",
    "date": "time",
    "email": "principal_email",
    "event": "type",
    "from": "since",
    "ip": "client_ip",
    "org": "organization_id",
    "organization": "organization_id",
    "resource": "target",
    "source_ip": "client_ip",
    "targets": "targets.id",
    "to": "until",
    "user": "principal",
    "user_id": "principal",
    "who": "principal",
    "workspace": "workspace_id",
}
"""Names from other logs → the field to suggest for them."""


class Form(NamedTuple):
    """One form of a term: its syntax, its meaning, and an example."""

    syntax: str
    means: str
    example: str


FORMS: tuple[Form, ...] = (
    Form("`field:value`", "the field is exactly that", "principal:42"),
    Form("`field:value,value`", "it is any of these", "type:user_sign_in,user_deleted"),
    Form("`field:begin*`", "it begins so", "type:credentials_*"),
    Form("`field:*`", "the entry has that field", "on_behalf_of:*"),
    Form('`field:"any text"`', "exactly that, whatever is in it: blanks, commas, a `*`", 'target_name:"Prod, EU"'),
    Form("`by:ID`", ALIASES["by"].about, "by:42"),
    Form("`about:ID`", ALIASES["about"].about, "about:6Yk2"),
    Form("`client_ip:network`", "the address is in that network", "client_ip:10.0.0.0/8,2001:db8::/32"),
    Form("`seq:from..to`", "a number from one up to another, both included; either may be left out", "seq:100..200"),
    Form("`details:value`", "any value within `details`, `before`, `after` or `shortened`", "details:eu-west-1"),
    Form(
        "`details.key:value`",
        "the value of one key in it, key and value in any case; `begin*`, `*`",
        "details.region:eu-*",
    ),
    Form("`details.key:>number`", "a number or date above that; `<`, `>=`, `<=`, `from..to`", "details.amount:>100"),
    Form(
        '`word`, `"some words"`',
        "that text somewhere in names, e-mail address, status or details, in any case; or exactly this ID in any field",
        "Lovelace",
    ),
    Form(
        "`address`, `UUID`, `hash`, `entry ID`, `event_type`",
        "exactly that, in any field; quote it to find it within a text as well",
        "203.0.113.9",
    ),
    Form("`begin*`", "an ID, an event type or an address that begins so, in any field", "6Yk*"),
    Form("`since:moment`", TIMES["since"], "since:-7d"),
    Form("`until:moment`", TIMES["until"], "until:2026-11-23T08:00:00Z"),
    Form("`time:period`", TIMES["time"], "time:last-month"),
    Form("`a b`, `a and b`, `a & b`", "both", "principal:42 status:oidc"),
    Form("`a or b`, `a | b`", "one of them or both; binds less than `and`", "by:42 or about:42"),
    Form("`-a`, `not a`", "not that", "type:user_* -status:oidc"),
    Form("`( … )`", "one condition, evaluated first", "client_ip:10.0.0.0/8 (outcome:failure or status:failed)"),
    Form("`*`", "every entry", "*"),
)


def kind_of(name: str) -> Kind | None:
    """The kind of a searchable field or alias; `None` for any other name. `details.rows` is a key of `details`."""
    if name in ALIASES:
        return "keyword"
    if name in FILTERS or name in KEYED:
        return FIELDS[name].kind
    if name in OF_TARGETS:
        return "keyword"
    if name == "targets":
        return "objects"
    field, dot, key = name.partition(".")
    return "flat_object" if field in KEYED and dot and key and not key.endswith(".") else None


_PIECE = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^\s(),"\\*]|\\.)+)|(?P<sign>[(),*])|(?P<blank>\s+)', re.DOTALL
)


class Piece(NamedTuple):
    """A token of the text: `kind` is `quoted`, `bare` or `sign`."""

    kind: str
    text: str
    start: int
    end: int


def pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            what = "this quote is not closed" if text[at] == '"' else "nothing follows this backslash"
            raise misplaced(what, at)
        kind = str(found.lastgroup)
        if kind != "blank":
            pieces.append(Piece(kind, found[kind], at, found.end()))
        at = found.end()
    return pieces


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def misplaced(what: str, at: int) -> QueryError:
    return QueryError(f"{what} (at character {at + 1})")


_BEFORE_TOKEN = re.compile(r"(?:.*[\s(])?", re.DOTALL)
_MOST = 100


class Suggestion(NamedTuple):
    """A suggestion: `text` may replace everything after the first `start` characters; `about` describes it."""

    start: int
    text: str
    about: str = ""


def complete(written: str, values: Mapping[str, Sequence[str]] | None = None) -> list[Suggestion]:
    """Suggests what may follow `written`. `values` are known values of fields, such as types."""
    if len(written) > LONGEST:
        return []
    if written.count('"') % 2:
        return []
    found = _BEFORE_TOKEN.match(written)
    start = found.end() if found else 0
    token = written[start:]
    if token.startswith("-"):
        start, token = start + 1, token[1:]
    if ":" not in token:
        operators = [*NOT, AND[0], OR[0]] if token and start else []
        return _matching(start, token, [*_fields(), *((word, "") for word in operators)])
    field, _, rest = token.partition(":")
    last = rest.rpartition(",")[2]
    return _matching(start + len(token) - len(last), last, _values(field, values or {}))


def _fields() -> Iterable[tuple[str, str]]:
    yield from ((f"{name}:", alias.about) for name, alias in ALIASES.items())
    yield from ((f"{name}:", FIELDS[name].about) for name in FILTERS)
    yield from ((f"{name}:", about) for name, about in TIMES.items())
    yield from ((f"{name}:", "of any of the further targets") for name in OF_TARGETS)
    yield from ((f"{name}:", FIELDS[name].about) for name in KEYED)


def _values(field: str, values: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    if field in TIMES:
        return [(word, "") for word in MOMENTS]
    known = values.get(field) or (FIELDS[field].values if field in FIELDS else ())
    return [(value, "") for value in known]


def _matching(start: int, given: str, candidates: Iterable[tuple[str, str]]) -> list[Suggestion]:
    """The candidates that begin with the given text, then those that contain it."""
    low = given.lower()
    found = [
        Suggestion(start, text, about.replace("`", ""))
        for text, about in candidates
        if low in text.lower() and text != given
    ]
    return sorted(found, key=lambda one: not one.text.lower().startswith(low))[:_MOST]
