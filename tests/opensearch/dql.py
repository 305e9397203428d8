"""The Dashboards Query Language, as Dashboards turns it into a query of OpenSearch.

After its grammar and its functions: `or` binds less than `and`, a list of values is in parentheses behind the colon,
`*` alone asks whether the field exists, a value with `*` becomes a `query_string`, and quotes make a phrase. What
whodid does not write is refused here: values of several words without quotes, ranges, nested fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["dql_query"]

Query = dict[str, Any]

_TOKEN = re.compile(r'\s*([():]|"(?:[^"\\]|\\.)*"|[^\s():"<>{}\\]+)')
_NUMBER = re.compile(r"-?[1-9]\d*|0")
_RESERVED = re.compile(r'([+\-=&|><!(){}\[\]^"~?:\\/])')


def dql_query(text: str) -> Query:
    """The query; an empty one finds everything."""
    tokens, end = [], 0
    text = text.rstrip()
    while end < len(text):
        found = _TOKEN.match(text, end)
        assert found, text[end:]
        tokens.append(found[1])
        end = found.end()
    parser = _Parser(tokens)
    query = parser.joined(parser.expression) if tokens else {"match_all": {}}
    assert not parser.tokens, parser.tokens
    return query


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def joined(self, one: Callable[[], Query]) -> Query:
        alternatives = [self._all(one)]
        while self._takes("or"):
            alternatives.append(self._all(one))
        return _any(alternatives) if len(alternatives) > 1 else alternatives[0]

    def _all(self, one: Callable[[], Query]) -> Query:
        parts = [self._negated(one)]
        while self._takes("and"):
            parts.append(self._negated(one))
        return {"bool": {"filter": parts}} if len(parts) > 1 else parts[0]

    def _negated(self, one: Callable[[], Query]) -> Query:
        return {"bool": {"must_not": one()}} if self._takes("not") else one()

    def expression(self) -> Query:
        if self._takes("("):
            query = self.joined(self.expression)
            assert self._takes(")")
            return query
        field = self.tokens.pop(0)
        assert self._takes(":"), (field, self.tokens)
        return self._value(field)

    def _value(self, field: str) -> Query:
        if self._takes("("):
            query = self.joined(lambda: self._value(field))
            assert self._takes(")")
            return query
        return _any([_is(field, self.tokens.pop(0))])

    def _takes(self, token: str) -> bool:
        if self.tokens and self.tokens[0].lower() == token:
            self.tokens.pop(0)
            return True
        return False


def _any(queries: list[Query]) -> Query:
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def _is(field: str, value: str) -> Query:
    assert value not in {"(", ")", ":"}
    if value.startswith('"'):
        return {"match_phrase": {field: re.sub(r'\\([\\"])', r"\1", value[1:-1])}}
    if value == "*":
        return {"exists": {"field": field}}
    if "*" in value:
        return {"query_string": {"fields": [field], "query": _RESERVED.sub(r"\\\1", value)}}
    return {"match": {field: int(value) if _NUMBER.fullmatch(value) else value}}
