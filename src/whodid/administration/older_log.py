"""An older log: its rows, in CSV or NDJSON, become entries, each of them once.

`imports.ndjson` in the journal directory records progress: `rows` of the file with this `sha256` are done, `recorded`
of them are entries, and `seen` is the last entry of each journal then. The last line of a file counts. It is written
before the first row, after about every `_BLOCK` rows, and at the end.

Crash behaviour: the rows after that are in doubt. Those recorded are entries with that `imported_from` and numbers
above `seen`, because a name belongs to one unfinished import only, and they come first, because rows are recorded in
order. They are looked for in the journal, the dead letters, and, if a shipper deleted segments since, OpenSearch.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..catalog.model import named_now
from ..entry import FIELDS, FREE_FIELDS, LISTS, Entry, Stamp
from ..errors import InvalidEntry, JournalFull, NotRecorded, OpenSearchError, QueryError, WhodidError
from ..export.forms import unguarded
from ..export.nested import moment
from ..files import append_line, dump, read_objects
from ..journal import JournalDirectory, JournalReader
from ..journal.directory import segments
from ..journal.lock import ProcessLock
from ..journal.reader import new_entries
from ..recording.context import CALLER_FIELDS, scope
from ..recording.own import record_operation
from ..recording.recorder import Recorder
from ..search import AuditClient
from ..settings import Settings
from ..shipping.dead_letters import each_dead_letter
from ..shipping.status import last_seq
from ..text import FOREIGN, did_you_mean, json_of, json_text, shown, text_of, valid

__all__ = ["Checked", "OlderLog", "Row"]

_LONGEST = 1024 * 1024
"""Maximum number of bytes of a row; an entry has 64 KiB at most."""
_MOST_COLUMNS = 1000
_BLOCK = 1000
_TIMES = ("occurred_at", "@timestamp", "creation_date")
_TAKEN = CALLER_FIELDS.union(_TIMES) - {"imported_from"}
_LEFT_OUT = (FIELDS.keys() - _TAKEN) | {"entry_id", ""}
_FOR_CODE = re.compile(r"; (?:bind|pass|decode) [^;]*")

Progress = Callable[[int, int], None]
"""Called with the number of bytes of the file that were read, and of all."""


class Row(NamedTuple):
    """A row: the line that it starts at, its bytes, and the call of `audit` that it makes, or why it makes none."""

    line: int
    raw: bytes
    type: str = ""
    fields: Mapping[str, Any] = {}
    problem: str = ""


class Checked(NamedTuple):
    """What `OlderLog.check` found: which file and content, and the number of rows and of those that are refused."""

    file: tuple[int, int, int]
    sha256: str
    rows: int
    refused: int


@dataclass(slots=True)
class _State:
    sha256: str
    name: str
    options: str
    time: str
    seen: dict[str, int]
    rows: int = 0
    recorded: int = 0
    done: bool = False


@dataclass(slots=True)
class OlderLog:
    """A seekable file in the form `csv` or `ndjson`, open in binary mode; `name` is what `imported_from` will say.

    `rename` and `types` map names of columns and event types to those of here; a column mapped to an empty name is left
    out. `unknown` puts other columns into `details`. `head` is the header of CSV, once read.
    """

    settings: Settings
    file: BinaryIO
    name: str
    form: str
    rename: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    unknown: bool = False
    head: bytes = b""
    _columns: list[str] = field(default_factory=list)
    _digest: Any = None
    _recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        """Raises `QueryError` for a field that can't be imported."""
        for name in {*self.rename.values()} - _TAKEN - {""}:
            raise QueryError(f"{name!r} is not a field that can be imported{did_you_mean(name, _TAKEN)}")
        self._recorder = Recorder(replace(self.settings, on_failure="raise", on_invalid="raise", record={}))

    def check(
        self, *, on_problem: Callable[[Row], None] = lambda row: None, on_progress: Progress = lambda done, total: None
    ) -> Checked:
        """Checks every row, and records nothing. Raises `WhodidError` if the file can't be split into rows."""
        file, rows, refused = self._identity(), 0, 0
        with scope({}, alone=True):
            for row in self._rows():
                try:
                    if not row.problem:
                        self._recorder.check(row.type, row.fields)
                except InvalidEntry as error:
                    row = row._replace(problem=_FOR_CODE.sub("", str(error)))
                if row.problem:
                    refused += 1
                    on_problem(row)
                rows += 1
                if rows % _BLOCK == 0:
                    on_progress(self.file.tell(), file[1])
        return Checked(file, self._digest.hexdigest(), rows, refused)

    def record(self, checked: Checked, *, on_progress: Progress = lambda done, total: None) -> int:
        """Records the valid rows, and returns how many; none that an earlier import of the file has recorded.

        It is recorded before and after, as `audit_log_imported`. Raises `NotRecorded`, `JournalDamaged`, and
        `WhodidError` if the file has changed or another import is in the way; the same call again does the rest.
        """
        directory = JournalDirectory(self.settings.journal_dir, create=True)
        lock = ProcessLock(directory.path / "import.lock")
        if not lock.try_acquire():
            raise WhodidError(f"another import into {directory.path} is running ({lock.holder()}); wait for its end")
        try:
            state = self._state(directory, checked)
            before = state.recorded
            if not state.done:
                file = self.file.name if isinstance(self.file.name, str) else "-"  # a number for a temporary copy
                about: dict[str, Any] = {"file": valid(Path(file).name), "sha256": checked.sha256}
                about |= {"rows": checked.rows, "refused": checked.refused}
                record_operation(self.settings, "audit_log_imported", self.name, {"step": "started", **about})
                found = self._found(directory, state) if state.time else Counter[str]()
                if not state.time:
                    state.seen = {name: last_seq(directory.journal(name)) for name in directory.journals()}
                    self._save(directory, state, checked)
                self._append(directory, state, checked, found, on_progress)
                about |= {"step": "done", "recorded": state.recorded}
                record_operation(self.settings, "audit_log_imported", self.name, about)
                state.done = True
                self._save(directory, state, checked)
            return state.recorded - before
        finally:
            lock.close()

    def _identity(self) -> tuple[int, int, int]:
        about = os.fstat(self.file.fileno())
        return about.st_ino, about.st_size, about.st_mtime_ns

    def _rows(self) -> Iterator[Row]:
        """Every row, in flat memory."""
        self._columns = []
        for line, raw in self._split():
            try:
                if (row := self._parsed(raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw)) is None:
                    continue
                call = self._call(row)
            except UnicodeDecodeError:
                problem = "it is not UTF-8; convert the file, for example by `iconv -f LATIN1 -t UTF-8`"
                if self.form == "csv" and not self._columns:
                    raise WhodidError(f"the header: {problem}") from None
                yield Row(line, raw, problem=problem)
            except (ValueError, csv.Error) as error:
                yield Row(line, raw, problem=f"it is not {self.form.upper()}: {error}")
            except InvalidEntry as error:
                yield Row(line, raw, problem=str(error))
            else:
                yield Row(line, raw, *call)

    def _split(self) -> Iterator[tuple[int, bytes]]:
        """Lines, each with its number; in CSV, lines within quotes together."""
        self.file.seek(0)
        self._digest = sha256()
        start, raw, quotes = 1, bytearray(), 0
        for number in count(1):
            line = self.file.readline(_LONGEST + 1 - len(raw))
            self._digest.update(line)
            raw += line
            quotes += line.count(b'"')
            if len(raw) > _LONGEST:
                about = "a line break or a closing quote may be missing"
                raise WhodidError(f"line {start:,}: the row has more than {_LONGEST:,} bytes; {about}")
            if not line or self.form == "ndjson" or quotes % 2 == 0:
                if raw.strip():
                    yield start, bytes(raw)
                if not line:
                    return
                start, raw, quotes = number + 1, bytearray(), 0

    def _parsed(self, raw: bytes) -> dict[str, Any] | None:
        """The row by column; `None` for the header. Raises `ValueError`, `csv.Error` and `InvalidEntry`."""
        if self.form == "ndjson":
            row = json_of(raw)
            if not isinstance(row, dict) or len(row) > _MOST_COLUMNS:
                raise InvalidEntry(f"it is not a JSON object with at most {_MOST_COLUMNS:,} keys")
            return row
        text = io.StringIO(raw.decode(), newline="")
        delimiter = max(",;\t", key=(self.head if self._columns else raw).decode().count)
        [cells] = csv.reader(text, delimiter=delimiter, strict=True)
        if not self._columns:
            self.head, self._columns = raw, cells
            self._check_header([self._field(column) for column in cells])
            return None
        if len(cells) != len(self._columns):
            raise InvalidEntry(f"it has {len(cells):,} columns, the header has {len(self._columns):,}")
        return dict(zip(self._columns, map(unguarded, cells), strict=True))

    def _check_header(self, names: list[str]) -> None:
        needed = ("type", "target", "principal", *([] if {*_TIMES} & {*names} else ["creation_date"]))
        problems = [f"there is no column {name}; use --rename OLD={name}" for name in needed if name not in names]
        problems += [] if self.unknown else [_unknown(name) for name in names if name not in _TAKEN | _LEFT_OUT]
        twice = [name for name, number in Counter(names).items() if number > 1 and name]
        problems += [f"two columns are for {shown(name, 128)!r}; leave one out with --rename OLD=" for name in twice]
        if problems or len(names) > _MOST_COLUMNS:
            raise WhodidError("the header: " + "; ".join(problems[:20] or [f"more than {_MOST_COLUMNS:,} columns"]))

    def _field(self, column: str) -> str:
        """The field that a column is for: also `Client IP` is for `client_ip`."""
        name = column.strip().lower().replace(" ", "_")
        return self.rename.get(column, name if name in _TAKEN | _LEFT_OUT else column)

    def _call(self, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The event type and the fields. Raises `InvalidEntry`."""
        fields: dict[str, Any] = {}
        for column, value in row.items():
            name = self._field(column)
            if value in (None, "") or name in _LEFT_OUT:
                continue
            if value == "N/A" and name.startswith(("organization_", "workspace_")):
                continue
            if name in fields:
                raise InvalidEntry(f"two values are for {name}; leave one out with --rename OLD=")
            fields[name] = _value(name, value)
        if unknown := {name: fields.pop(name) for name in [*fields] if name not in _TAKEN}:
            if not self.unknown:
                raise InvalidEntry("; ".join(map(_unknown, unknown)))
            if not isinstance(details := fields.get("details", {}), dict):
                raise InvalidEntry("details must be an object, if other columns are to be kept in it")
            fields["details"] = {**unknown, **details}
        times = [fields.pop(name, None) for name in _TIMES]
        fields |= {"occurred_at": _utc(next(filter(None, times), None)), "imported_from": self.name}
        name = str(fields.pop("type", ""))
        known = self._recorder.catalog.types.get(self.types.get(name, name))
        if known is None:
            raise InvalidEntry(f"type: the catalog has no {shown(name, 128)!r}; add it, or use --type OLD=NEW")
        known = named_now(self._recorder.catalog.types, known.name)
        return known.replaced_by or known.name, fields

    def _state(self, directory: JournalDirectory, checked: Checked) -> _State:
        """The saved state of this import, or a new one. Raises `WhodidError` if another one is in the way."""
        known: dict[str, _State] = {}
        for _, line in read_objects(directory.path / "imports.ndjson"):
            with suppress(*FOREIGN):
                one = _State(**line)
                text_of(one.name + one.options + one.time)
                if all(type(number) is int for number in (one.rows, one.recorded, *one.seen.values())):
                    known[text_of(one.sha256)] = one
        chosen = [self.name, self.form, dict(self.rename), dict(self.types), self.unknown, *checked[2:]]
        state = known.get(checked.sha256) or _State(checked.sha256, self.name, json_text(chosen), "", {})
        if not state.done and state.options != json_text(chosen):
            raise WhodidError(f"this import was started with {state.options}, or another catalog: use those to resume")
        if any(one.name == self.name and not (one.done or state.done) and one is not state for one in known.values()):
            raise WhodidError(f"an import of another file from {self.name} is not complete; resume it, or use --from")
        return state

    def _save(self, directory: JournalDirectory, state: _State, checked: Checked) -> None:
        state.time = Stamp.now().creation_date
        append_line(directory.path / "imports.ndjson", dump(asdict(state)))
        if self._identity() != checked.file:
            raise WhodidError(f"{self.name} was changed while it was imported; import a copy")
        if 0 < self.settings.max_bytes < 2 * directory.bytes_beside() and not state.done:
            raise JournalFull("the journal holds half of max_bytes, the rest is for the application; run `whodid ship`")

    def _append(
        self, directory: JournalDirectory, state: _State, checked: Checked, found: Counter[str], on_progress: Progress
    ) -> None:
        with closing(self._recorder.journal) as journal, scope({}, alone=True):
            for number, row in enumerate(self._rows(), 1):
                if number <= state.rows or row.problem:
                    continue
                if found[key := _key(row.type, row.fields)]:
                    found[key] -= 1
                    state.recorded += 1
                    continue
                found.clear()
                with suppress(InvalidEntry):  # which `check` reported
                    receipt, _ = self._recorder.record(row.type, row.fields)
                    if not receipt:
                        raise NotRecorded(receipt.error)
                    state.recorded += 1
                    if number - state.rows >= _BLOCK:
                        journal.sync()
                        state.rows, state.seen[receipt.journal] = number, receipt.seq
                        self._save(directory, state, checked)
                        on_progress(self.file.tell(), checked.file[1])
        if state.recorded != checked.rows - checked.refused:
            raise WhodidError(f"{state.recorded:,} rows were recorded, and others checked: the file or catalog changed")

    def _found(self, directory: JournalDirectory, state: _State) -> Counter[str]:
        """The rows that were recorded after the state was saved, each with their number."""
        readers = {name: JournalReader(directory.journal(name), seq) for name, seq in state.seen.items()}
        local = chain(new_entries(directory, readers), (letter.entry for letter in each_dead_letter(directory)))
        found = {(one["journal"], one["seq"]): one for one in local if self._is_new(one, state)}
        firsts = {name: segments(directory.journal(name))[:1] for name in {*state.seen, *directory.journals()}}
        if any(not first or int(first[0].stem) > state.seen.get(name, 0) + 1 for name, first in firsts.items()):
            try:
                with AuditClient(replace(self.settings, audit_reads=False)) as client:
                    every = client.search(imported_from=self.name, since=state.time, expired=True)
                    found |= {(one["journal"], one["seq"]): one for one in every if self._is_new(one, state)}
            except OpenSearchError as error:
                raise WhodidError(f"rows that were shipped and deleted here must be looked up: {error}") from error
        for name, seq in found:
            state.seen[name] = max(seq, state.seen.get(name, 0))
        return Counter(_key(one.get("type"), one) for one in found.values())

    def _is_new(self, entry: Entry, state: _State) -> bool:
        journal, seq = entry.get("journal"), entry.get("seq")
        if entry.get("imported_from") != self.name or not isinstance(journal, str) or not isinstance(seq, int):
            return False
        return seq > state.seen.get(journal, 0)


def _unknown(name: str) -> str:
    return f"{shown(name, 128)!r} is not a field; use --rename, or --details-from-unknown to keep it in details"


def _value(name: str, value: Any) -> Any:
    if type(value) is int and name in _TAKEN:
        return str(value)
    if isinstance(value, str) and value[:1] in {"[", "{"} and name in {*FREE_FIELDS, *LISTS}:
        with suppress(ValueError):
            return json_of(value.encode())
    return value


def _utc(text: object) -> str:
    at = moment(text) if isinstance(text, str) and len(text) > len("2026-11-23") else None
    with suppress(OverflowError):
        if at is not None:
            return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise InvalidEntry("creation_date is missing or is not a time such as 2026-11-23T08:00:00Z")


def _key(event_type: object, fields: Mapping[str, Any]) -> str:
    return json_text([event_type, *(fields.get(name) for name in ("target", "principal", "occurred_at"))])
