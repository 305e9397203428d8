"""Proofs of single entries: made while their checkpoint's entries are stored, and checked by who has only the key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from whodid.cli import program
from whodid.errors import ProofError
from whodid.proof.keys import new_key
from whodid.search import AuditClient
from whodid.verify import Source
from whodid.verify.checkpoints import judged
from whodid.verify.inclusion import Inclusion, Prover, check_inclusion

from .scene import Scene, scene

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def ready(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path_factory.mktemp("proofs")) as made:
        yield made


@pytest.fixture
def prover(ready: Scene) -> Prover:
    trusted = judged([Source("a witness", ready.witness, outside=True)], [ready.key])
    return Prover(AuditClient(ready.settings, client=ready.corner.client), trusted)


@pytest.mark.parametrize("seq", [1, 10, 11, 17, 30])
def test_each_entry_can_be_proven_without_any_other(ready: Scene, prover: Prover, seq: int) -> None:
    entry = ready.hits()[seq]["_source"]
    proof = Inclusion.from_json(prover.prove(entry).to_json())
    checkpoint, key = check_inclusion(proof, [ready.key])
    assert checkpoint.first_seq <= seq <= checkpoint.last_seq
    assert key == ready.key
    others = [hit["_source"] for other, hit in ready.hits().items() if other != seq]
    assert not any(entry["salt"] in proof.to_json() for entry in others)
    assert len(proof.to_json()) < 6000


def changed(proof: Inclusion, **fields: Any) -> Inclusion:
    content = json.loads(proof.to_json()) | fields
    return Inclusion.from_json(json.dumps(content))


def test_what_was_changed_is_not_proven(ready: Scene, prover: Prover, tmp_path: Path) -> None:
    proof = prover.prove(ready.hits()[15]["_source"])
    other = prover.prove(ready.hits()[25]["_source"])
    for wrong in (
        changed(proof, entry={**proof.entry, "target": "another"}),
        changed(proof, entry=dict(other.entry)),
        changed(proof, index=proof.index + 1),
        changed(proof, size=proof.size + 1),
        changed(proof, path=[*proof.path, "00" * 32]),
        changed(proof, path=["zz"]),
        changed(proof, checkpoint=dict(other.checkpoint)),
        changed(proof, checkpoint={}),
    ):
        with pytest.raises(ProofError):
            check_inclusion(wrong, [ready.key])
    with pytest.raises(ProofError, match="it is not signed by a trusted key"):
        check_inclusion(proof, [new_key(tmp_path / "another.pem")])
    with pytest.raises(ProofError, match="it is not a proof of an entry"):
        Inclusion.from_json("{}")


def test_the_command_makes_and_checks_one(ready: Scene, tmp_path: Path) -> None:
    entry_id = ready.hits()[15]["_id"]
    made = CliRunner().invoke(program, ready.corner.arguments("prove", entry_id))
    assert made.exit_code == 0, made.output
    (tmp_path / "proof.json").write_text(made.output)
    shutil.copy(Path(ready.settings.signing_key_file + ".pub"), tmp_path / "key.pub")
    check = ["prove", "--check", str(tmp_path / "proof.json"), "--public-key", str(tmp_path / "key.pub")]
    done = CliRunner().invoke(program, check)
    assert (done.exit_code, done.output.splitlines()[0]) == (
        0,
        f"entry 15 of journal {ready.journal} (credentials_created) was in the log",
    )
    (tmp_path / "proof.json").write_text(made.output.replace('"principal": "42"', '"principal": "43"'))
    done = CliRunner().invoke(program, check)
    assert done.exit_code == 1
    assert "the entry was changed" in done.output


def test_what_can_not_be_proven_is_told(ready: Scene, prover: Prover) -> None:
    entry = ready.hits()[15]["_source"]
    with pytest.raises(ProofError, match="no checkpoint covers entry 31 of journal"):
        prover.prove({**entry, "seq": 31})
    with pytest.raises(ProofError, match=r"not those that checkpoint 3 .* covers"):
        prover.prove({**entry, "hash": "ab" * 32})
    done = CliRunner().invoke(program, ready.corner.arguments("prove", "nothing-1-of"))
    assert "entry nothing-1-of" in str(done.exception)


def test_without_the_entries_around_it_nothing_can_be_proven(opensearch_url: str, tmp_path: Path) -> None:
    with scene(opensearch_url, tmp_path) as made:
        made.delete(12)
        trusted = judged([Source("a witness", made.witness)], [])
        prover = Prover(AuditClient(made.settings, client=made.corner.client), trusted)
        with pytest.raises(ProofError, match="covers 10 entries, but only 9 are stored"):
            prover.prove(made.hits()[15]["_source"])
        assert prover.prove(made.hits()[25]["_source"]).size == 10
