"""The export file, which is complete or missing, and resumes after an interruption.

Entries go into `NAME.part`. After each block, synced to disk, `NAME.part.json` records how much of that part is valid
and the last entry in it. The same command truncates the part there and resumes; the result has the same bytes as an
uninterrupted export. At the end, the manifest is written, and the part gets its name.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import ExportError
from ..files import name_new, open_owned, sync_directory, write_private
from ..proof.keys import Signer, envelope_of, signer_of
from ..proof.merkle import Tree
from ..resources import __version__
from ..search import Filter, pinned
from ..search.filter import ordered
from ..search.requests import OLDEST, read_ahead, sort_of
from ..text import FOREIGN, json_of, text_of
from .forms import Form, Lines, form_of
from .manifest import EXPORT, Manifest, envelope_path, evidence_path, manifest_path, write_evidence

if TYPE_CHECKING:
    from ..search import AuditClient
    from ..verify.checkpoints import TrustedCheckpoints

__all__ = ["BLOCK", "Export", "export"]

BLOCK = 2000
"""Entries between two syncs of the part; with gzip, they are one member."""

_STATE_VERSION = 1
_CHUNK = 1 << 20

Progress = Callable[[int, int], None]
"""Called with how many entries are in the file, and how many there will be."""


def export(
    client: AuditClient,
    where: Filter | str | None,
    path: str | Path,
    *,
    form: str | None = None,
    expired: bool = False,
    trusted: TrustedCheckpoints | None = None,
    on_progress: Progress | None = None,
) -> Manifest:
    """Writes the matching entries into a new file, oldest first, and the manifest beside it.

    `form` is a name in `FORMS`; by default the suffix of the file selects it, and `.gz` after it compresses. Relative
    times such as `-7d` count from the start, and later entries are not exported. With `trusted` checkpoints, proofs
    are written beside the file that each entry was in the log. The same call resumes an interrupted export.

    Raises `QueryError`, `OpenSearchError`, and `ExportError` if the file already exists or can't be written.
    """
    asked = ordered(Filter.parse(where)) if isinstance(where, str) else where if where is not None else Filter.of()
    chosen, compressed = form_of(path, form)
    one = Export(Path(path).absolute(), chosen, compressed, asked, expired, trusted)
    return one.run(client, on_progress or (lambda _done, _total: None))


@dataclass(slots=True)
class _State:
    """How much of the part is valid, stored as JSON in `NAME.part.json`."""

    key: dict[str, Any]
    """Identifies the export: its query and format."""
    asked: str
    started: str
    resumed: int = 0
    count: int = 0
    bytes: int = 0
    after: list[Any] | None = None
    first: dict[str, str] | None = None
    last: dict[str, str] | None = None
    edge: list[str] = field(default_factory=list)
    """The edge of the Merkle tree over the hashes of the entries."""


@dataclass(frozen=True, slots=True)
class Export:
    """An export: its query, format and path."""

    path: Path
    form: Form
    compressed: bool
    asked: Filter
    expired: bool
    trusted: TrustedCheckpoints | None = None

    def run(self, client: AuditClient, on_progress: Progress) -> Manifest:
        """Starts or resumes the export, and finishes it."""
        signer = signer_of(client.settings)
        with _plain_errors(self.path), self._part() as part:
            state = self._state(client)
            client.note_export(self.asked, form=self.form.name)
            asked = Filter.parse(state.asked)
            total = client.count(asked, expired=self.expired)
            on_progress(state.count, total)

            def written(count: int) -> None:
                on_progress(count, total)

            digest = self._cut(part, state)
            if self.form.lines is None:
                self._columns(client, asked, part, state, written)
                digest = _digest_of(part)
            else:
                self._blocks(client, asked, self.form.lines, part, state, digest, written)
            evidence = ""
            if self.trusted:
                evidence = write_evidence(evidence_path(self.path), client, asked, self.trusted, expired=self.expired)
            matching = client.count(asked, expired=self.expired)
            manifest = replace(self._manifest(state, digest.hexdigest(), matching), evidence=evidence)
            self._finish(part, manifest, signer)
        return manifest

    def _blocks(
        self,
        client: AuditClient,
        asked: Filter,
        lines: Lines,
        part: IO[bytes],
        state: _State,
        digest: Any,
        on_progress: Callable[[int], None],
    ) -> None:
        if not state.bytes and self.form.head:
            self._write(part, self.form.head, digest, state)
        hits = client.hits(asked, sort_of(OLDEST), after=state.after, expired=self.expired)
        with closing(read_ahead(hits, BLOCK)) as blocks:
            for block in blocks:
                self._write(part, lines([hit["_source"] for hit in block]), digest, state)
                _note(state, block)
                self._save(part, state)
                on_progress(state.count)

    def _columns(
        self, client: AuditClient, asked: Filter, part: IO[bytes], state: _State, on_progress: Callable[[int], None]
    ) -> None:
        from .forms import Columns

        hits = client.hits(asked, sort_of(OLDEST), expired=self.expired)
        with Columns(part) as columns, closing(read_ahead(hits, BLOCK)) as blocks:
            for block in blocks:
                columns.add([hit["_source"] for hit in block])
                _note(state, block)
                on_progress(state.count)
        state.bytes = part.tell()

    def _write(self, part: IO[bytes], data: bytes, digest: Any, state: _State) -> None:
        data = gzip.compress(data, compresslevel=6, mtime=0) if self.compressed else data
        part.write(data)
        digest.update(data)
        state.bytes += len(data)

    @property
    def _key(self) -> dict[str, Any]:
        return {
            "version": _STATE_VERSION,
            "form": self.form.name,
            "compressed": self.compressed,
            "query": str(self.asked),
            "expired": self.expired,
        }

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @contextmanager
    def _part(self) -> Iterator[IO[bytes]]:
        """Opens and locks the part."""
        if os.path.lexists(self.path):
            raise ExportError(f"{self.path} already exists; choose another name, or move it away")
        name = self._beside(".part")
        with os.fdopen(open_owned(name, os.O_RDWR | os.O_CREAT), "r+b") as part:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportError(f"another export is writing {self.path}") from None
            try:
                yield part
            except BaseException:
                if not os.path.lexists(self._beside(".part.json")):  # it can't be resumed
                    name.unlink(missing_ok=True)
                raise

    def _state(self, client: AuditClient) -> _State:
        """The saved state of the interrupted export, or a new one."""
        key = {**self._key, "index_prefix": client.settings.index_prefix}
        before = self._saved()
        if before is None:
            for beside in (manifest_path(self.path), envelope_path(self.path)):
                if os.path.lexists(beside):
                    raise ExportError(f"{beside} already exists, and belongs to another file; move it away")
            now = datetime.now(UTC)
            asked = pinned(self.asked, now) & Filter.of(until=now.isoformat().replace("+00:00", "Z"))
            return _State(key, str(asked), _now(now))
        if before.key != key:
            raise ExportError(
                f"{self._beside('.part')} was started with a different query or format ({before.key.get('query')}, "
                f"{before.key.get('form')}); repeat that to resume, or remove it and {self._beside('.part.json')}"
            )
        before.resumed += 1
        return before

    def _saved(self) -> _State | None:
        try:
            with os.fdopen(open_owned(self._beside(".part.json"), os.O_RDONLY), "rb") as file:
                found = _State(**json_of(file.read()))
            _tree(found)
            text_of(found.asked + text_of(found.started))
        except (FileNotFoundError, *FOREIGN):
            return None
        numbers = all(type(number) is int and number >= 0 for number in (found.resumed, found.count, found.bytes))
        objects = all(isinstance(one, dict) for one in (found.key, found.first or {}, found.last or {}))
        if not (numbers and objects and isinstance(found.after, list | None)):
            return None
        parts = found.key, found.first or {}, found.last or {}
        values = [*(found.after or ()), *(value for part in parts for value in part.values())]
        return None if any(isinstance(value, dict | list) for value in values) else found

    def _cut(self, part: IO[bytes], state: _State) -> Any:
        """Truncates the part to its valid bytes, and returns their digest."""
        part.seek(0, os.SEEK_END)
        if part.tell() < state.bytes:
            raise ExportError(
                f"{self._beside('.part')} is shorter than recorded; remove it and {self._beside('.part.json')} "
                "to start again"
            )
        part.truncate(state.bytes)
        digest = _digest_of(part)
        part.seek(state.bytes)
        return digest

    def _save(self, part: IO[bytes], state: _State) -> None:
        part.flush()
        os.fsync(part.fileno())
        text = json.dumps({name: getattr(state, name) for name in _State.__slots__})
        write_private(self._beside(".part.json"), text.encode())

    def _manifest(self, state: _State, digest: str, matching: int) -> Manifest:
        return Manifest(
            file=self.path.name,
            form=self.form.name,
            compressed=self.compressed,
            count=state.count,
            matching_at_end=matching,
            asked=state.key["query"],
            query=state.asked,
            expired=self.expired,
            index_prefix=state.key["index_prefix"],
            started=state.started,
            finished=_now(datetime.now(UTC)),
            resumed=state.resumed,
            first=state.first,
            last=state.last,
            bytes=state.bytes,
            sha256=digest,
            root=_tree(state).root().hex(),
            whodid=__version__,
        )

    def _finish(self, part: IO[bytes], manifest: Manifest, signer: Signer | None) -> None:
        part.flush()
        os.fsync(part.fileno())
        content = manifest.to_json().encode()
        if signer:
            envelope = json.dumps(envelope_of(content, EXPORT, signer))
            write_private(envelope_path(self.path), envelope.encode())
        write_private(manifest_path(self.path), content)
        try:
            name_new(self._beside(".part"), self.path)
        except FileExistsError:
            raise ExportError(
                f"{self.path} was created by another process; move it away and run the same command again"
            ) from None
        self._beside(".part.json").unlink(missing_ok=True)
        sync_directory(self.path.parent)


def _tree(state: _State) -> Tree:
    return Tree(state.count, map(bytes.fromhex, state.edge))


def _note(state: _State, block: list[dict[str, Any]]) -> None:
    """Updates the state for a block that is in the file."""
    tree = _tree(state)
    for hit in block:
        tree.add(str(hit["_source"].get("hash", "")).encode(errors="backslashreplace"))
    state.edge = [node.hex() for node in tree.edge]
    state.count += len(block)
    state.after = block[-1]["sort"]
    state.first = state.first or _named(block[0])
    state.last = _named(block[-1])


def _named(hit: dict[str, Any]) -> dict[str, str]:
    return {"entry_id": hit["_id"], "timestamp": str(hit["_source"].get("@timestamp", ""))}


def _digest_of(part: IO[bytes]) -> Any:
    part.flush()
    part.seek(0)
    digest = hashlib.sha256()
    while chunk := part.read(_CHUNK):
        digest.update(chunk)
    return digest


def _now(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turns errors of the disk into `ExportError`."""
    try:
        yield
    except OSError as error:
        what = f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error)
        raise ExportError(f"{path} can't be written ({what}); fix that and run the same command to resume") from error
