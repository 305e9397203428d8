"""The evidence beside an export: checkpoints, the places of the entries, and proofs of those that stand alone.

`NAME.evidence.ndjson`: a line `{"checkpoint": envelope}` for each checkpoint of the journals in the export, then one
for each entry, in their order: `{"id": …, "index": …}`, how its document is called and in which partition it is. Where
the export has not all entries of the checkpoint over it, `"number"`, `"leaf"`, `"size"` and `"path"` show that it is
under that checkpoint, without the others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ..client.order import OLDEST, sort_of
from ..errors import ProofError
from ..query import Filter

if TYPE_CHECKING:
    from ..client import AuditClient
    from ..verify.inclusion import Prover
    from ..verify.statements import Statements

__all__ = ["write_evidence"]


def write_evidence(path: Path, client: AuditClient, asked: Filter, statements: Statements, *, expired: bool) -> str:
    """Writes the evidence of an export, and returns its SHA-256. Raises `OSError` and `OpenSearchError`."""
    from ..verify.inclusion import Prover

    counts: Counter[str] = Counter()
    prover = Prover(client, statements)
    journals: set[str] = set()
    for hit in client.hits(asked, sort_of(OLDEST), expired=expired):
        entry = hit["_source"]
        journals.add(str(entry.get("journal")))
        if sealed := _over(prover, entry):
            counts[sealed.key] += 1
    digest = sha256()
    new = path.with_name(path.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        for line in _lines(client, asked, statements, prover, journals, counts, expired=expired):
            file.write(line + b"\n")
            digest.update(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return digest.hexdigest()


def _lines(
    client: AuditClient,
    asked: Filter,
    statements: Statements,
    prover: Prover,
    journals: set[str],
    counts: Counter[str],
    *,
    expired: bool,
) -> Iterator[bytes]:
    for journal in sorted(journals):
        for sealed in statements.by_journal.get(journal, ()):
            yield orjson.dumps({"checkpoint": sealed.envelope})
    for hit in client.hits(asked, sort_of(OLDEST), expired=expired):
        entry, line = hit["_source"], {"id": hit["_id"], "index": hit["_index"]}
        sealed = _over(prover, entry)
        if sealed and counts[sealed.key] != sealed.checkpoint.entries:
            line |= _proof(prover, sealed, entry)
        yield orjson.dumps(line)


def _over(prover: Prover, entry: dict[str, Any]) -> Any:
    seq = entry.get("seq")
    return prover.covering(str(entry.get("journal")), seq) if type(seq) is int else None


def _proof(prover: Prover, sealed: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """Nothing where it can't be shown any more: others of its checkpoint expired, or something is wrong."""
    try:
        leaf, size, path = prover.path(sealed, str(entry.get("hash")), entry["seq"])
    except ProofError:
        return {}
    return {"number": sealed.checkpoint.number, "leaf": leaf, "size": size, "path": path}
