"""The question: what a URL of the tab asks for, and the URLs of questions near it.

`q` is a text of the search language. The other parameters are fields, each any number of times, with `since` and
`until`; all of it must match, and what is empty was not asked. The same URL always means the same question, so it can
be passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode

from ..errors import QueryError
from ..search import Filter, moment
from ..search.filter import filter_of, ordered
from ..search.grammar import kind_of
from ..search.value import quoted, unknown_field

__all__ = ["ANY_TIME", "LINKED", "MOST_CONDITIONS", "RANGES", "Question"]

MOST_CONDITIONS = 100
"""Parameters of a URL."""

LINKED = 20
"""Conditions that have a link to the question without them: each link is as long as all of them together."""

ANY_TIME = "any"
"""As `since`: whatever was given as a time does not count."""

RANGES = {"-1h": "hour", "-24h": "24 hours", "-7d": "7 days", "-30d": "30 days", "-90d": "90 days", "-365d": "year"}
"""Spans offered as buttons, with their names."""

_TIMES = ("since", "until")


@dataclass(frozen=True, slots=True)
class Question:
    """`filters` maps a field to the values of which any may match; times are as a person wrote them."""

    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: str = ""
    until: str = ""
    text: str = ""

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Question:
        """The question in a URL's parameters, of which a later `since` or `until` wins. Checked when it is asked.

        Raises `QueryError` for more conditions than anybody writes.
        """
        parameters = list(parameters)
        if len(parameters) > MOST_CONDITIONS:
            raise QueryError(f"the address has {len(parameters):,} conditions; {MOST_CONDITIONS} are the most")
        filters: dict[str, tuple[str, ...]] = {}
        text = ""
        times = dict.fromkeys(_TIMES, "")
        for name, given in parameters:
            value = given.strip()
            if name == "since" and value == ANY_TIME:
                times = dict.fromkeys(_TIMES, "")
            elif name in _TIMES:
                times[name] = value or times[name]
            elif name == "q":
                text = value or text
            elif value and value not in filters.get(name, ()):
                filters[name] = (*filters.get(name, ()), value)
        return cls(filters, times["since"], times["until"], text)

    def filter(self) -> Filter:
        """What entries must be. Raises `QueryError`."""
        for name in self.filters:
            if kind_of(name) is None:
                raise unknown_field(name)
        fields = {name: list(values) for name, values in self.filters.items()}
        return ordered(Filter.parse(self.text) & filter_of(fields, self.since or None, self.until or None))

    def parameters(self) -> list[tuple[str, str]]:
        pairs = [("q", self.text)] if self.text else []
        pairs += [(name, value) for name, values in self.filters.items() for value in values]
        return pairs + [(name, value) for name in _TIMES if (value := getattr(self, name))]

    def url(self, **more: str) -> str:
        """The query string, `?` included; empty for everything."""
        pairs = self.parameters() + list(more.items())
        return "?" + urlencode(pairs, errors="replace") if pairs else "?"

    def without(self, name: str, value: str) -> Question:
        """The same without one of its conditions."""
        if name == "since":
            return replace(self, since="")
        if name == "until":
            return replace(self, until="")
        if name == "q":
            return replace(self, text="")
        values = tuple(kept for kept in self.filters.get(name, ()) if kept != value)
        filters = {key: given for key, given in {**self.filters, name: values}.items() if given}
        return replace(self, filters=filters)

    def also(self, name: str, value: str) -> Question:
        """The same, and only entries with exactly that value of a field: a `*` at its end would be a beginning."""
        if value == value.strip() and not value.endswith("*"):
            return replace(self, filters={**self.filters, name: (value,)})
        others = {key: given for key, given in self.filters.items() if key != name}
        term = f"{name}:{quoted(value)}"
        return replace(self, filters=others, text=f"({self.text}) {term}" if self.text else term)

    def within(self, start: datetime, end: datetime) -> Question:
        """The same within that time, as it was cut from the time asked for."""
        return replace(self, since=_stamp(start), until=_stamp(end))

    def picked(self, name: str) -> str:
        """A time as a date-and-time input shows it (UTC); empty for a span back from now, and for what is no time."""
        text = getattr(self, name)
        if not text or text.startswith("-"):
            return ""
        try:
            time = moment(text, name)
        except QueryError:
            return ""
        return time.strftime("%Y-%m-%dT%H:%M:%S") if time else ""


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
