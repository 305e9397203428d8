"""The answers of OpenSearch, parsed; that to a bulk request in which nothing failed as it came, to be compared."""

from __future__ import annotations

import json
from typing import Any

import orjson
from opensearchpy.exceptions import SerializationError
from opensearchpy.serializer import JSONSerializer

__all__ = ["Answers", "Unread"]

_DIGITS = 19


class Unread(str):
    """An answer as it came, which says that nothing failed: it need not be parsed to be compared."""

    __slots__ = ()


class Answers(JSONSerializer):
    """As the client library's own serializer, but quicker."""

    def loads(self, s: str) -> Any:
        if s.startswith('{"errors":false,"items":[{'):
            return Unread(s)
        try:
            return orjson.loads(s)
        except orjson.JSONDecodeError:  # a lone surrogate, a number beyond a float, or no JSON at all
            try:
                return json.loads(s, parse_int=_number)
            except ValueError as error:
                raise SerializationError(s, error) from error


def _number(digits: str) -> int | float:
    """As orjson: what needs more than 64 bits is a float. Python refuses to read an integer of 5,000 digits."""
    return int(digits) if len(digits) < _DIGITS else float(digits)
