"""The manifest: what is in an export, of which question, and its SHA-256, as `NAME.manifest.json` beside it.

It shows that a file is the one that was written, whole, and what was asked for. Where the settings name a key, it is
signed as well (`NAME.manifest.dsse`); else who can replace the file can replace the manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import ExportError, ProofError
from ..proof.keys import PublicKey, opened

__all__ = ["EXPORT", "Manifest", "check", "envelope_path", "evidence_path", "manifest_path"]

EXPORT = "application/vnd.whodid.export+json"
"""What an envelope around a manifest says that it holds."""

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
    root: str
    """The Merkle root (RFC 6962) over the `hash`es of the entries, in their order; docs/reference/format.md."""
    whodid: str
    """The version that wrote it."""
    evidence: str = ""
    """The SHA-256 of `NAME.evidence.ndjson`; empty where there is none."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def manifest_path(path: Path) -> Path:
    """The manifest of a file."""
    return path.with_name(path.name + ".manifest.json")


def evidence_path(path: Path) -> Path:
    """The checkpoints and proofs that go with a file."""
    return path.with_name(path.name + ".evidence.ndjson")


def envelope_path(path: Path) -> Path:
    """The signed manifest of a file."""
    return path.with_name(path.name + ".manifest.dsse")


def check(path: str | Path, keys: Collection[PublicKey] = ()) -> tuple[Manifest, list[str]]:
    """The manifest of a file, and in which ways the file is another than it says.

    With `keys`, one of them must have signed the manifest. Raises `ExportError` where either can't be read.
    """
    manifest, content = _read(manifest_path(Path(path)))
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
    return manifest, findings + (_unsigned(Path(path), content, keys) if keys else [])


def _unsigned(path: Path, content: bytes, keys: Collection[PublicKey]) -> list[str]:
    """Why the manifest is not signed by one of the keys."""
    try:
        envelope = json.loads(envelope_path(path).read_bytes())
        signed, _ = opened(envelope, EXPORT, keys)
    except FileNotFoundError:
        return ["its manifest is not signed"]
    except OSError as error:
        raise ExportError(f"{envelope_path(path)} can't be read ({error.strerror})") from error
    except (ValueError, ProofError) as error:
        return [f"its manifest is not signed by the key given: {error}"]
    return [] if signed == content else ["its manifest is another than the one that was signed"]


def _read(path: Path) -> tuple[Manifest, bytes]:
    try:
        data = path.read_bytes()
        content = json.loads(data)
        known = {"evidence": "", **content}
        return Manifest(**{field.name: known[field.name] for field in fields(Manifest)}), data
    except OSError as error:
        raise ExportError(f"the manifest {path} can't be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError):
        raise ExportError(f"{path} is no manifest of an export, or a damaged one") from None
