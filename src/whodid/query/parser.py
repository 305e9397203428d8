"""The parser: a text of the search language to a filter.

One pass over the tokens: brackets, quoted text, and anything else up to a blank, a bracket or a comma. Terms side by
side are joined by `and`, which binds more than `or`. Every error says at which character it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ..errors import QueryError
from .filter import EVERYTHING, Filter, Value, both, either, matching, time, unknown_field, words
from .grammar import AND, LONGEST, NOT, OR, TIMES, kind_of

__all__ = ["parse"]

_DEEPEST = 50
_PIECE = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^\s(),"\\*]|\\.)+)|(?P<sign>[(),*])|(?P<blank>\s+)', re.DOTALL
)


class _Piece(NamedTuple):
    """A part of the text without blanks in it. `name` is the field before its first `:`, if there is one."""

    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> Filter:
    """Raises `QueryError`."""
    if len(text) > LONGEST:
        raise QueryError(f"the query is {len(text):,} characters long; {LONGEST:,} is the most")
    return _Parser(text).all_of_it()


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            what = "this quote is not closed" if text[at] == '"' else "there is nothing after this backslash"
            raise _error(what, at)
        kind = str(found.lastgroup)
        if kind != "blank":
            pieces.append(_Piece(kind, found[kind], at, found.end()))
        at = found.end()
    return pieces


class _Parser:
    def __init__(self, text: str) -> None:
        self._pieces = _pieces(text)
        self._next = 0
        self._depth = 0
        self._end = len(text)

    def all_of_it(self) -> Filter:
        if not self._pieces:
            return EVERYTHING
        found = self._either()
        if (left := self._peek()) is not None:
            raise _error(
                "there is no ( for this )" if left.text == ")" else f"{left.text!r} is not expected", left.start
            )
        return found

    def _peek(self) -> _Piece | None:
        return self._pieces[self._next] if self._next < len(self._pieces) else None

    def _is(self, *signs: str) -> bool:
        piece = self._peek()
        return piece is not None and piece.kind == "sign" and piece.text in signs

    def _operator(self, spellings: tuple[str, ...]) -> bool:
        """Takes the operator if it comes next."""
        piece = self._peek()
        if piece is None or piece.kind != "bare" or piece.text.lower() not in spellings or self._touches(piece):
            return False
        self._next += 1
        return True

    def _touches(self, piece: _Piece) -> bool:
        """Whether something of the same term comes right after a piece, with no blank between."""
        following = self._pieces[self._next + 1] if self._next + 1 < len(self._pieces) else None
        return following is not None and following.start == piece.end and following.text not in ("(", ")")

    def _either(self) -> Filter:
        return either(self._joined(self._both, OR))

    def _both(self) -> Filter:
        parts = [self._term()]
        while True:
            if self._operator(AND) or not (self._peek() is None or self._is(")", ",") or self._at(OR)):
                parts.append(self._term())
            else:
                return both(parts)

    def _at(self, spellings: tuple[str, ...]) -> bool:
        before = self._next
        found = self._operator(spellings)
        self._next = before
        return found

    def _joined(self, part: Callable[[], Filter], spellings: tuple[str, ...]) -> list[Filter]:
        parts = [part()]
        while self._operator(spellings):
            parts.append(part())
        return parts

    def _term(self) -> Filter:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"the query has more than {_DEEPEST} levels of brackets")
        try:
            return self._negated() or self._group() or self._simple()
        finally:
            self._depth -= 1

    def _negated(self) -> Filter | None:
        if self._operator(NOT):
            return ~self._term()
        piece = self._peek()
        if piece is None or piece.kind != "bare" or not piece.text.startswith("-"):
            return None
        rest = piece._replace(text=piece.text[1:], start=piece.start + 1)
        if rest.text:
            self._pieces[self._next] = rest
        elif self._touches(piece) or self._opens_after(piece):
            self._next += 1
        else:
            raise _error("a - goes right before what must not be", piece.start)
        return ~self._term()

    def _opens_after(self, piece: _Piece) -> bool:
        following = self._pieces[self._next + 1] if self._next + 1 < len(self._pieces) else None
        return following is not None and following.text == "(" and following.start == piece.end

    def _group(self) -> Filter | None:
        if not self._is("("):
            return None
        opened = self._pieces[self._next]
        self._next += 1
        found = self._either()
        if not self._is(")"):
            raise _error("this ( is not closed", opened.start)
        self._next += 1
        return found

    def _simple(self) -> Filter:
        piece = self._peek()
        if piece is None:
            raise _error("something is missing", self._end)
        if self._is(")", ","):
            raise _error(f"something is missing before this {piece.text}", piece.start)
        if piece.kind == "bare" and piece.text.lower() in (*AND, *OR) and not self._touches(piece):
            raise _error(f"something is missing beside this {piece.text}", piece.start)
        if piece.kind == "bare" and ":" in piece.text:
            return self._field(piece)
        value = self._value(piece.start)
        if value == Value("", "prefix"):
            return EVERYTHING
        if value.kind == "prefix":
            raise _error("a word is found wherever it stands: leave the * out", piece.start)
        return words(value.text)

    def _field(self, piece: _Piece) -> Filter:
        name, _, rest = piece.text.partition(":")
        at = piece.start + len(name) + 1
        if name in TIMES:
            self._next += 1
            following = self._peek()
            if not rest or (
                following is not None and following.start == piece.end and following.text not in ("(", ")")
            ):
                raise _error(f"{name}: needs one time right after it, such as {name}:-7d", at)
            return time(name, rest)
        if kind_of(name) is None:
            raise _error(str(unknown_field(name)) + _quotes_hint(piece.text), piece.start)
        if rest:
            self._pieces[self._next] = piece._replace(text=rest, start=at)
        else:
            self._next += 1
        values = [self._field_value(name, at)]
        while self._is(","):
            at = self._pieces[self._next].end
            self._next += 1
            values.append(self._field_value(name, at))
        return matching(name, values)

    def _field_value(self, name: str, at: int) -> Value:
        piece = self._peek()
        if piece is None or piece.start != at or self._is("(", ")", ","):
            raise _error(f"{name}: needs a value right after it", at)
        return self._value(at)

    def _value(self, at: int) -> Value:
        """The pieces that follow each other without a blank, as one value."""
        piece = self._pieces[self._next]
        self._next += 1
        if piece.kind == "quoted":
            following = self._peek()
            if following is not None and following.start == piece.end and following.text not in ("(", ")", ","):
                raise _error("after a closing quote a blank is missing", piece.end)
            return Value(_unescaped(piece.text), "literal")
        text = "" if piece.kind == "sign" else _unescaped(piece.text)
        star = piece if piece.kind == "sign" else None
        following = self._peek()
        if star is None and following is not None and following.start == piece.end:
            if following.kind == "quoted":
                raise _error("a quote in the middle of a value; put all of it in quotes", following.start)
            if following.text == "*" and following.kind == "sign":
                star = following
                self._next += 1
                following = self._peek()
        if star is None:
            return Value(text)
        if following is not None and following.start == star.end and following.text not in ("(", ")", ","):
            raise _error("a * goes at the end of a value; for a real one put the value in quotes", star.start)
        return Value(text, "prefix")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _quotes_hint(text: str) -> str:
    return f' In quotes, the text itself is looked for: "{text}"'


def _error(what: str, at: int) -> QueryError:
    return QueryError(f"{what} (at character {at + 1})")
