"""The manifest of an export (`NAME.manifest.json`): its query, its content and its SHA-256; and the evidence beside it.

The manifest proves that a file is complete and unchanged. If the settings name a signing key, it is also signed
(`NAME.manifest.dsse`); otherwise anyone who can replace the file can replace the manifest, too.

The evidence (`NAME.evidence.ndjson`) has a line `{"checkpoint": envelope}` for each checkpoint of the exported
journals, a line `{"erasure": page}` for each record of values removed from their entries, then one line for each entry,
in order: `{"id": …, "index": …}`, its document ID and partition. If the export does not have all entries of the
checkpoint that covers it, `"number"`, `"leaf"`, `"size"` and `"path"` prove its inclusion without the others. Entries
that vouch for an erasure and are not exported come last, with `"entry"`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cluster.ledger import ERASED, Erasure, erasures
from ..errors import ExportError, NotAuthorized, ProofError
from ..files import grant_owner, put_in_place
from ..proof.keys import PublicKey, open_envelope
from ..search import Filter
from ..search.requests import OLDEST, sort_of
from ..text import FOREIGN, json_bytes, json_of, json_text

if TYPE_CHECKING:
    from ..proof.checkpoint import SignedCheckpoint
    from ..search import AuditClient
    from ..verify.checkpoints import TrustedCheckpoints
    from ..verify.inclusion import Prover

__all__ = ["EXPORT", "Manifest", "check", "envelope_path", "evidence_path", "manifest_path", "write_evidence"]

EXPORT = "application/vnd.whodid.export+json"
"""The payload type of the envelope of a manifest."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a manifest. Times are UTC, `YYYY-MM-DDTHH:MM:SSZ`."""

    file: str
    form: str
    compressed: bool
    count: int
    """The number of entries in the file."""
    matching_at_end: int
    """The number of matching entries at the end; it differs from `count` if some arrived late or expired meanwhile."""
    asked: str
    """The query as given."""
    query: str
    """The query with absolute times, as of `started`."""
    expired: bool
    index_prefix: str
    started: str
    finished: str
    resumed: int
    """How often the export was resumed."""
    first: dict[str, str] | None
    """`entry_id` and `timestamp` of the first entry; `None` if there is none."""
    last: dict[str, str] | None
    bytes: int
    sha256: str
    root: str
    """The Merkle root (RFC 6962) over the `hash`es of the entries, in order; see docs/reference/format.md."""
    whodid: str
    """The version of whodid that wrote it."""
    evidence: str = ""
    """The SHA-256 of `NAME.evidence.ndjson`; empty without evidence."""

    def to_json(self) -> str:
        return json_text(asdict(self), indent=2) + "\n"


def manifest_path(path: Path) -> Path:
    """Returns the path of the manifest of a file."""
    return path.with_name(path.name + ".manifest.json")


def evidence_path(path: Path) -> Path:
    """Returns the path of the evidence of a file."""
    return path.with_name(path.name + ".evidence.ndjson")


def envelope_path(path: Path) -> Path:
    """Returns the path of the signed manifest of a file."""
    return path.with_name(path.name + ".manifest.dsse")


def check(path: str | Path, keys: Collection[PublicKey] = ()) -> tuple[Manifest, list[str]]:
    """Returns the manifest of a file, and how the file differs from it.

    With `keys`, one of them must have signed the manifest. Raises `ExportError` if either can't be read.
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
        findings.append(f"it has {size:,} bytes instead of {manifest.bytes:,}")
    if digest.hexdigest() != manifest.sha256:
        findings.append(f"its SHA-256 is {digest.hexdigest()} instead of {manifest.sha256}")
    return manifest, findings + (_unsigned(Path(path), content, keys) if keys else [])


def _unsigned(path: Path, content: bytes, keys: Collection[PublicKey]) -> list[str]:
    """Explains why the manifest is not signed by one of the keys; empty if it is."""
    try:
        envelope = json_of(envelope_path(path).read_bytes())
        signed, _ = open_envelope(envelope, EXPORT, keys)
    except FileNotFoundError:
        return ["its manifest is not signed"]
    except OSError as error:
        raise ExportError(f"{envelope_path(path)} can't be read ({error.strerror})") from error
    except (ValueError, ProofError) as error:
        return [f"its manifest is not signed by the key given: {error}"]
    return [] if signed == content else ["its manifest differs from the signed one"]


def _read(path: Path) -> tuple[Manifest, bytes]:
    try:
        data = path.read_bytes()
        known = {"evidence": "", **json_of(data)}
        found = Manifest(**{field.name: known[field.name] for field in fields(Manifest)})
        if all(_is(str(field.type), getattr(found, field.name)) for field in fields(Manifest)):
            return found, data
    except OSError as error:
        raise ExportError(f"the manifest {path} can't be read ({error.strerror})") from error
    except FOREIGN:
        pass
    raise ExportError(f"{path} is not the manifest of an export, or is damaged")


def _is(kind: str, value: object) -> bool:
    """Whether a value is of the annotated type of its field."""
    return type(value).__name__ == kind or ("None" in kind and (value is None or isinstance(value, dict)))


def write_evidence(
    path: Path, client: AuditClient, asked: Filter, trusted: TrustedCheckpoints, *, expired: bool
) -> str:
    """Writes the evidence of an export, and returns its SHA-256. Raises `OSError` and `OpenSearchError`."""
    from ..verify.inclusion import Prover

    counts: Counter[str] = Counter()
    prover = Prover(client, trusted)
    journals: set[str] = set()
    vouching: set[str] = set()
    for hit in client.hits(asked, sort_of(OLDEST), expired=expired):
        entry = hit["_source"]
        journals.add(str(entry.get("journal")))
        if entry.get("type") == ERASED:
            vouching.add(hit["_id"])
        if signed := _over(trusted, entry):
            counts[signed.key] += 1
    known = _erasures(client, journals)
    lines = chain(
        ({"checkpoint": signed.envelope} for name in sorted(journals) for signed in trusted.by_journal.get(name, ())),
        ({"erasure": one.body} for one in known),
        _places(client, asked, trusted, prover, counts, expired=expired),
        _vouching(client, trusted, prover, known, vouching),
    )
    digest = sha256()
    new = path.with_name(path.name + ".part")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        grant_owner(file.fileno(), 0o600)
        for line in map(json_bytes, lines):
            file.write(line + b"\n")
            digest.update(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    put_in_place(new, path)
    return digest.hexdigest()


Line = dict[str, Any]


def _erasures(client: AuditClient, journals: set[str]) -> list[Erasure]:
    """The erasures in these journals; none if this user may not read the ledger."""
    try:
        return [one for one in erasures(client.connection, client.settings) if journals & one.places.keys()]
    except NotAuthorized:
        return []


def _places(
    client: AuditClient,
    asked: Filter,
    trusted: TrustedCheckpoints,
    prover: Prover,
    counts: Counter[str],
    *,
    expired: bool,
) -> Iterator[Line]:
    for hit in client.hits(asked, sort_of(OLDEST), expired=expired):
        entry, line = hit["_source"], {"id": hit["_id"], "index": hit["_index"]}
        signed = _over(trusted, entry)
        yield line | (
            _proof(prover, signed, entry) if signed and counts[signed.key] != signed.checkpoint.entries else {}
        )


def _vouching(
    client: AuditClient, trusted: TrustedCheckpoints, prover: Prover, known: list[Erasure], exported: set[str]
) -> Iterator[Line]:
    """The entries that vouch for erasures and are not in the export themselves."""
    digests = {one.digest for one in known}
    for hit in client.hits(Filter.of(type=ERASED), sort_of(OLDEST)) if digests else ():
        entry = hit["_source"]
        if hit["_id"] not in exported and (entry.get("details") or {}).get("digest") in digests:
            signed = _over(trusted, entry)
            proof = _proof(prover, signed, entry) if signed else {}
            yield {"entry": entry, "id": hit["_id"], "index": hit["_index"], **proof}


def _over(trusted: TrustedCheckpoints, entry: dict[str, Any]) -> SignedCheckpoint | None:
    seq = entry.get("seq")
    return trusted.covering(str(entry.get("journal")), seq) if type(seq) is int else None


def _proof(prover: Prover, signed: SignedCheckpoint, entry: dict[str, Any]) -> dict[str, Any]:
    """The inclusion proof; empty if there is none, as other entries of the checkpoint expired or were altered."""
    try:
        leaf, size, path = prover.path(signed, str(entry.get("hash")), entry["seq"])
    except ProofError:
        return {}
    return {"number": signed.checkpoint.number, "leaf": leaf, "size": size, "path": path}
