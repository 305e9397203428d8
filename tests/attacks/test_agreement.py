"""The independent verifier, which knows nothing of whodid, says of each attack what `whodid verify` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from whodid.client import AuditClient
from whodid.export import export
from whodid.opensearch.checkpoints import CheckpointIndex
from whodid.query import Filter
from whodid.shipper.sealing import kept_checkpoints
from whodid.verify import Source
from whodid.verify.inclusion import Prover
from whodid.verify.statements import judged

from .attacks import ATTACKS, Attack
from .scene import Scene, scene

pytestmark = pytest.mark.live

VERIFIER = Path(__file__).parents[2] / "tools" / "verify_log.py"


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path) as made:
        yield made


def exported(ready: Scene, path: Path, where: Filter | None = None) -> None:
    """With the checkpoints of the cluster and of the host, whoever signed them."""
    ready.corner.refresh()
    index = CheckpointIndex(ready.corner.client, ready.settings)
    ready.corner.client.indices.refresh(index=index.name)
    kept = [*index.each(), *kept_checkpoints(ready.directory)]
    statements = judged([Source("kept", kept)], [], datetime.now(UTC), ())
    for journal, others in statements.forks.items():
        statements.by_journal[journal] += others
    client = AuditClient(ready.settings, client=ready.corner.client)
    export(client, where, path, expired=True, statements=statements)


def said(path: Path, *options: str) -> set[tuple[str, int, int]]:
    done = subprocess.run(
        [sys.executable, str(VERIFIER), str(path), *options], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = set()
    for line in done.stdout.splitlines():
        if line == "nothing found":
            continue
        kind, _, rest = line.partition(": journal ")
        first, _, last = rest.partition(", ")[2].partition(" to ")
        found.add((kind, int(first), int(last)))
    assert done.returncode == bool(found)
    return found


def test_it_is_short_and_knows_nothing_of_whodid() -> None:
    for file in (VERIFIER.with_name(name) for name in ("verify_log.py", "verify_export.py", "verify_proof.py")):
        assert len(file.read_text().splitlines()) < 190
        assert "import whodid" not in file.read_text()
        assert "from whodid" not in file.read_text()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
def test_it_agrees(attack: Attack, ready: Scene, tmp_path: Path) -> None:
    attack.do(ready)
    exported(ready, tmp_path / "all.ndjson")
    key = ("--key", str(ready.settings.signing_key_file) + ".pub")
    assert said(tmp_path / "all.ndjson", *key) == set(attack.own)
    witness = tmp_path / "witness.ndjson"
    witness.write_bytes(b"".join(sealed.line() + b"\n" for sealed in ready.witness))
    assert said(tmp_path / "all.ndjson", *key, "--against", str(witness)) == set(attack.outside)


def test_a_part_of_the_log_is_shown_entry_by_entry(ready: Scene, tmp_path: Path) -> None:
    exported(ready, tmp_path / "part.ndjson", Filter.of(target=["3", "7"]))
    key = ("--key", str(ready.settings.signing_key_file) + ".pub")
    assert said(tmp_path / "part.ndjson", *key) == set()
    evidence = (tmp_path / "part.ndjson.evidence.ndjson").read_text()
    assert evidence.count('"path"') == 6
    file = tmp_path / "part.ndjson.evidence.ndjson"
    file.write_text(evidence.replace('"leaf":3', '"leaf":4'))
    assert {kind for kind, _, _ in said(tmp_path / "part.ndjson", *key)} == {"rebuilt"}


def test_it_checks_a_proof(ready: Scene, tmp_path: Path) -> None:
    statements = judged([Source("a witness", ready.witness)], [], datetime.now(UTC), ())
    entry = ready.hits()[17]["_source"]
    proof = Prover(AuditClient(ready.settings, client=ready.corner.client), statements).prove(entry)
    command = [sys.executable, str(VERIFIER.with_name("verify_proof.py")), str(tmp_path / "proof.json")]
    command.append(ready.settings.signing_key_file + ".pub")
    told = {}
    for old, new in (("", ""), ('"principal": "42"', '"principal": "43"'), ('"index": 6', '"index": 5')):
        (tmp_path / "proof.json").write_text(proof.to_json().replace(old, new) if old else proof.to_json())
        told[new] = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [done.returncode for done in told.values()] == [0, 1, 1]
    assert told[""].stdout == f"entry 17 was in journal {ready.journal}\n"
    assert "its content does not fit its hash" in told['"principal": "43"'].stdout
