"""The independent verifier, which knows nothing of whodid, on an export of a scene."""

from __future__ import annotations

import hashlib
import io
import json
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from whodid.cluster.ledger import CheckpointIndex
from whodid.export import export
from whodid.search import AuditClient, Filter
from whodid.shipping.checkpointing import closed_checkpoints
from whodid.verify import Source
from whodid.verify.checkpoints import judged

from .scene import Evidence, Scene

__all__ = ["VERIFIER", "exported", "independently", "said"]

VERIFIER = Path(__file__).parents[2] / "tools" / "verify_log.py"

Said = set[tuple[str, int, int]]


def independently(ready: Scene, public_key: str, path: Path) -> dict[Evidence, Said]:
    """What it says of the whole log, by what there is to verify by; of the manifest's signature nothing."""
    key, file, witness = ("--public-key", public_key), path / "all.ndjson", path / "witness.ndjson"
    exported(ready, file)
    witness.write_bytes(b"".join(sealed.line() + b"\n" for sealed in ready.witness))
    told: dict[Evidence, Said] = {"own": said(file, *key), "outside": said(file, *key, "--against", str(witness))}
    without_checkpoints(file)
    told["chain"] = said(file)
    return {level: {one for one in found if one[1]} for level, found in told.items()}


def exported(ready: Scene, path: Path, where: Filter | None = None) -> None:
    """With the checkpoints of the cluster and of the host, whoever signed them."""
    ready.corner.refresh()
    index = CheckpointIndex(ready.corner.client, ready.settings)
    ready.corner.client.indices.refresh(index=index.name)
    kept = [*index.each(), *closed_checkpoints(ready.directory)]
    trusted = judged([Source("kept", kept)], [])
    for journal, others in trusted.forks.items():
        trusted.by_journal[journal] += others
    client = AuditClient(ready.settings, client=ready.corner.client)
    export(client, where, path, expired=True, trusted=trusted)


def said(path: Path, *options: str) -> Said:
    """Kind, first and last entry of each finding. In this process: starting Python takes longer than all it does."""
    with (
        patch.object(sys, "argv", [str(VERIFIER), "log", str(path), *options, "--json"]),
        redirect_stdout(io.StringIO()) as shown,
        redirect_stderr(io.StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        runpy.run_path(str(VERIFIER), run_name="__main__")
    answer = json.loads(shown.getvalue())
    assert (answer["intact"], ended.value.code) == (not answer["findings"], bool(answer["findings"]))
    return {(one["kind"], one["seq"], one["last"]) for one in answer["findings"]}


def without_checkpoints(file: Path) -> None:
    """What was exported where no checkpoint was known."""
    evidence, manifest = Path(f"{file}.evidence.ndjson"), Path(f"{file}.manifest.json")
    before = evidence.read_bytes()
    evidence.write_bytes(b"".join(line for line in before.splitlines(True) if not line.startswith(b'{"checkpoint"')))
    old, new = (hashlib.sha256(data).hexdigest() for data in (before, evidence.read_bytes()))
    manifest.write_text(manifest.read_text().replace(old, new))
