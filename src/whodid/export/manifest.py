"""The manifest: what is in an export, of which question, and its SHA-256, as `NAME.manifest.json` beside it.

It shows that a file is the one that was written, whole, and what was asked for. It is not signed: who can replace the
file can replace the manifest, so keep its SHA-256 elsewhere where that matters.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import ExportError

__all__ = ["Manifest", "check", "manifest_path"]

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """Times are UTC, `YYYY-MM-DDTHH:MM:SSZ`."""

    file: str
    form: str
    compressed: bool
    count: int
    """Entries in the file."""
    matching_at_end: int
    """Entries that matched when it was finished: others than `count` where some came late, or expired, meanwhile."""
    asked: str
    """The question as it was given."""
    query: str
    """The same with its times fixed at `started`."""
    expired: bool
    index_prefix: str
    started: str
    finished: str
    resumed: int
    """How many times it was stopped and gone on with."""
    first: dict[str, str] | None
    """`entry_id` and `timestamp` of the first entry; `None` for no entry."""
    last: dict[str, str] | None
    bytes: int
    sha256: str
    whodid: str
    """The version that wrote it."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def manifest_path(path: Path) -> Path:
    """The manifest of a file."""
    return path.with_name(path.name + ".manifest.json")


def check(path: str | Path) -> tuple[Manifest, list[str]]:
    """The manifest of a file, and in which ways the file is another than it says.

    Raises `ExportError` where either can't be read.
    """
    manifest = _read(manifest_path(Path(path)))
    digest, size = hashlib.sha256(), 0
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise ExportError(f"{path} can't be read ({error.strerror})") from error
    findings = []
    if size != manifest.bytes:
        findings.append(f"it has {size:,} bytes, and had {manifest.bytes:,}")
    if digest.hexdigest() != manifest.sha256:
        findings.append(f"its SHA-256 is {digest.hexdigest()}, and was {manifest.sha256}")
    return manifest, findings


def _read(path: Path) -> Manifest:
    try:
        content = json.loads(path.read_bytes())
        return Manifest(**{field.name: content[field.name] for field in fields(Manifest)})
    except OSError as error:
        raise ExportError(f"the manifest {path} can't be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError):
        raise ExportError(f"{path} is no manifest of an export, or a damaged one") from None
