"""Documents that no entry is, as something else may store them: every field with each odd value."""

from __future__ import annotations

import json

from tests.export.samples import full
from whodid.entry import FIELDS

__all__ = ["DOCUMENTS", "ODD"]

_DEEP = '{"a":' * 900 + "1" + "}" * 900
ODD = {
    "lone surrogate": r'"x\ud800y"',
    "surrogate as a key": r'{"x\udc00": "y"}',
    "beyond a float": '{"a": 1e400, "b": -1e400}',
    "beyond a float alone": "1e400",
    "integer of 5,000 digits": "9" * 5000,
    "beyond 64 bits": "[18446744073709551616, -9223372036854775809]",
    "400 levels": '{"a":' * 400 + "1" + "}" * 400,
    "900 levels": _DEEP,
    "900 lists": "[" * 900 + "]" * 900,
    "list": '["a", ["b"], null, {"c": 1}]',
    "boolean": "true",
    "null": "null",
    "NUL": r'"a\u0000b"',
    "empty": '""',
    "not a time": '"9999-12-31T23:59:59-23:59"',
}
"""What is odd → JSON."""


def _document(odd: str) -> str:
    """Every field has the odd value."""
    return "{" + ", ".join(f"{json.dumps(name)}: {odd}" for name in FIELDS) + "}"


def _with(name: str, odd: str) -> str:
    """An entry of which one field is odd, and two have names that contain each other."""
    fields = {key: json.dumps(value) for key, value in full("user_created", "user").items()} | {name: odd}
    fields |= {"x": odd, "x.y": "1"}
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items()) + "}"


DOCUMENTS = {
    **{what: _document(odd) for what, odd in ODD.items()},
    **{f"{what} in {name}": _with(name, odd) for what, odd in ODD.items() for name in FIELDS if "levels" not in what},
    "altogether": "{}",
}
"""What is odd → the document."""
