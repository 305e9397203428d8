"""Parquet: a column for each field, with its type: times as timestamps, `seq` as a number, objects as JSON.

Made by pyarrow (the extra `whodid[parquet]`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import IO, Any

from ..entry import FIELDS, entry_id
from ..errors import ExportError
from ..text import json_text, valid
from .moments import moment

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    raise ExportError('Parquet needs an extra: pip install "whodid[parquet]"') from None

__all__ = ["Columns"]

_TYPES = {
    "date": pyarrow.timestamp("s", tz="UTC"),
    "date_nanos": pyarrow.timestamp("us", tz="UTC"),
    "long": pyarrow.int64(),
}
_LONG = 2**63
_SCHEMA = pyarrow.schema(
    [
        *((name, _TYPES.get(field.kind, pyarrow.string())) for name, field in FIELDS.items()),
        ("entry_id", pyarrow.string()),
    ]
)


class Columns:
    """Writes entries into a Parquet file that is open; each list becomes a row group."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(file, _SCHEMA, compression="zstd")

    def __enter__(self) -> Columns:
        return self

    def __exit__(self, _type: type[BaseException] | None, error: object, _traceback: TracebackType | None) -> None:
        with suppress(OSError) if error else nullcontext():  # what went wrong first is what counts
            self._writer.close()

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Puts them behind those that are there."""
        columns = [pyarrow.array([_value(entry, field.name) for entry in entries], field.type) for field in _SCHEMA]
        self._writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=_SCHEMA))


def _value(entry: Mapping[str, Any], name: str) -> Any:
    if name == "entry_id":
        return valid(entry_id(entry)) or None
    value = entry.get(name)
    kind = FIELDS[name].kind
    if value is None:
        return None
    if kind in _TYPES:
        return (value if type(value) is int and abs(value) < _LONG else None) if kind == "long" else moment(value)
    return valid(value if isinstance(value, str) else json_text(value))
