"""The pack: a report on disk, as `NAME.html` for people, `NAME.json` for programs, and `NAME.dsse`, which signs both.

The JSON names the SHA-256 of the HTML, and the envelope contains the JSON, so that a change of any byte is detected.
Without a signing key there is no envelope, and anyone who can replace one file can replace both.

Invariants:
- No existing file is replaced. Each file is complete and on disk when it gets its name, and only its owner can read it.
- The JSON gets its name last: if it exists, the others do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import ProofError, ReportError
from ..files import best_effort, name_new, sync_directory, write_beside
from ..proof.keys import PublicKey, Signer, envelope_of, open_envelope, payload_of, signed_by
from .page import page
from .report import Report
from .statement import digest_of, made_plain, read_statement, statement

__all__ = ["REPORT", "Checked", "Pack", "check_pack", "write_pack"]

REPORT = "application/vnd.whodid.report+json"
"""The payload type of the envelope of a report."""

_ENDS = (".html", ".json", ".dsse")


@dataclass(frozen=True, slots=True)
class Pack:
    """The paths of the files of a report; `path` is their common part, without a suffix."""

    path: Path

    @classmethod
    def named(cls, name: str | Path) -> Pack:
        """Takes the name of any of the files. Raises `ReportError` for a directory."""
        path = Path(name)
        if path.suffix in _ENDS:
            path = path.with_suffix("")
        if path.is_dir() or not path.name:
            raise ReportError(f"{name} is a directory; name the report in it, such as {path / 'report'}")
        return cls(path)

    @property
    def html(self) -> Path:
        return self._ending(".html")

    @property
    def dsse(self) -> Path:
        return self._ending(".dsse")

    @property
    def json(self) -> Path:
        return self._ending(".json")

    def _ending(self, end: str) -> Path:
        return self.path.with_name(self.path.name + end)

    def check_free(self) -> None:
        """Raises `ReportError` if one of the files exists, or their directory does not."""
        for path in (self.html, self.dsse, self.json):
            if os.path.lexists(path):
                raise ReportError(f"{path} already exists; choose another name, or move it away")
        if not self.path.parent.is_dir():
            raise ReportError(f"{self.path.parent} is not a directory; create it first")


@dataclass(frozen=True, slots=True)
class Checked:
    """The JSON of a checked pack, how it differs from what was written, and the key that signed it.

    `signed_by` is the key ID that the envelope names, which proves nothing unless `trusted`; empty if there is none.
    """

    content: Mapping[str, Any]
    findings: tuple[str, ...]
    signed_by: str
    trusted: bool


def write_pack(pack: Pack, report: Report, signer: Signer | None) -> tuple[Path, ...]:
    """Writes the files, and returns their paths. Raises `ReportError`, and `ProofError` if it can't be signed."""
    content = made_plain(report.as_json())
    html = page(report, pack.path.name, digest_of(content)).encode()
    data = statement(content, html, pack.html.name)
    files = {pack.html: html}
    if signer:
        files[pack.dsse] = json.dumps(envelope_of(data, REPORT, signer)).encode() + b"\n"
    files[pack.json] = data
    with _plain_errors(pack.path):
        _write(files)
    return tuple(files)


def check_pack(pack: Pack, keys: Collection[PublicKey] = ()) -> Checked:
    """Compares the files with each other. With `keys`, one must have signed them. Raises `ReportError`."""
    data = _read(pack.json)
    content, findings = read_statement(data, pack.json.name)
    html = _read(pack.html)
    if sha256(html).hexdigest() != content["html"]["sha256"]:
        findings.append("its HTML differs from what was written")
    signature, key, trusted = _signature(pack, data, keys)
    named = content["made"]["signed_by"]
    if not pack.dsse.exists() and (keys or named):
        findings.append(f"it is not signed: {pack.dsse.name} is missing")
    return Checked(content, (*findings, *signature), key, trusted)


def _signature(pack: Pack, data: bytes, keys: Collection[PublicKey]) -> tuple[list[str], str, bool]:
    """The problems of the envelope, the key that it names, and whether the signature was verified."""
    if not pack.dsse.exists():
        return [], "", False
    try:
        envelope = json.loads(_read(pack.dsse))
        signed, names = payload_of(envelope, REPORT), signed_by(envelope, REPORT)
        key = open_envelope(envelope, REPORT, keys)[1].id if keys else next(iter(names), "")
    except (ValueError, RecursionError, ProofError) as error:
        why = error if isinstance(error, ProofError) else "it is not a DSSE envelope"
        return [f"{pack.dsse.name} does not vouch for it: {why}"], "", False
    other = [] if signed == data else ["its JSON differs from the signed one"]
    return other, key, bool(keys) and not other


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path} can't be read ({error.strerror})") from error


def _write(files: Mapping[Path, bytes]) -> None:
    """Writes all files or none: after a failure, files that already got their names are removed."""
    written: list[tuple[Path, Path]] = []
    named: list[Path] = []
    try:
        for path, data in files.items():
            written.append((write_beside(path, [data]), path))
        for new, path in written:
            _name(new, path)
            named.append(path)
    except BaseException:
        for path in named:
            path.unlink(missing_ok=True)
        raise
    finally:
        for new, _ in written:
            new.unlink(missing_ok=True)
    with best_effort():  # some network file systems can't
        sync_directory(next(iter(files)).parent)


def _name(new: Path, path: Path) -> None:
    """Raises `ReportError` if another process created a file of that name."""
    try:
        name_new(new, path)
    except FileExistsError:
        raise ReportError(f"{path} was created by another process; choose another name, or move it away") from None


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise ReportError(f"the report {path} can't be written ({what}); fix that and run the command again") from error
