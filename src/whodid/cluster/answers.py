"""The parser of OpenSearch's answers. A bulk answer without failures stays a string, since comparing it is faster."""

from __future__ import annotations

import json
from typing import Any

import orjson
from opensearchpy.exceptions import SerializationError
from opensearchpy.serializer import JSONSerializer

from ..text import RawAnswer

__all__ = ["AnswerSerializer"]

_DIGITS = 19


class AnswerSerializer(JSONSerializer):
    """A faster replacement for the client library's serializer."""

    def loads(self, s: str) -> Any:
        if s.startswith('{"errors":false,"items":[{'):
            return RawAnswer(s)
        try:
            return orjson.loads(s)
        except orjson.JSONDecodeError:  # a lone surrogate, a number beyond a float, or invalid JSON
            try:
                return json.loads(s, parse_int=_number)
            except ValueError as error:
                raise SerializationError(s, error) from error


def _number(digits: str) -> int | float:
    """Reads an integer of more than 64 bits as a float, as orjson does; Python refuses one of 5,000 digits."""
    return int(digits) if len(digits) < _DIGITS else float(digits)
