"""The independent verifier, which knows nothing of whodid, says of each attack what `whodid verify` says."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from whodid.cli import program
from whodid.cluster.bulk import Document, Verdict
from whodid.proof.keys import new_key
from whodid.search import AuditClient, Filter
from whodid.shipping import Shipper
from whodid.verify import Source
from whodid.verify.checkpoints import judged
from whodid.verify.inclusion import Prover
from whodid.verify.verdict import Kind

from .attacks import ATTACKS, Attack
from .independent import VERIFIER, exported, said
from .scene import NOW, Scene, scene

pytestmark = pytest.mark.live


@pytest.fixture
def ready(opensearch_url: str, tmp_path: Path) -> Iterator[Scene]:
    with scene(opensearch_url, tmp_path) as made:
        yield made


PAIRS = [
    pytest.param(pair, marks=[] if number < 4 else [pytest.mark.soak])
    for number, pair in enumerate(random.Random(7).sample([*permutations(ATTACKS, 2)], 60))
]


UNDONE = {
    ("insert an entry beside another", "delete one entry"),
    ("make up a journal, dated before the first checkpoint", "delete the first entry"),
}
"""Pairs whose second attack undoes the first."""


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " and ".join(one.name for one in pair).replace(" ", "-"))
def test_it_agrees_on_two_attacks_at_once(pair: tuple[Attack, Attack], ready: Scene, tmp_path: Path) -> None:
    key = ("--public-key", str(ready.settings.signing_key_file) + ".pub")
    pair[0].do(ready)
    with suppress(KeyError, ValueError):  # what the first one removed, the second one can't change
        pair[1].do(ready)
    exported(ready, tmp_path / "all.ndjson")
    witness = tmp_path / "witness.ndjson"
    witness.write_bytes(b"".join(sealed.line() + b"\n" for sealed in ready.witness))
    found = {(one.kind, one.seq, one.last) for one in ready.verify("outside").findings}
    told = said(tmp_path / "all.ndjson", *key, "--against", str(witness))
    assert found or tuple(one.name for one in pair) in UNDONE
    assert {one for one in told if one[0] in get_args(Kind)} == found


def erase(ready: Scene) -> None:
    command = ready.corner.arguments("erase", "--principal", "42", "--reason", "request 4711", "--wait=0", "--yes")
    done = CliRunner().invoke(program, [*command, f"--signing-key-file={ready.settings.signing_key_file}"])
    assert done.exit_code == 0, done.output
    ready.seal()


def rotate(ready: Scene) -> None:
    new = f"{ready.settings.journal_dir}-new.pem"
    new_key(new)
    command = ready.corner.arguments("key", "rotate", "--to", new, "--reason", "yearly")
    with patch("whodid.shipping.checkpointing._now", lambda: f"{NOW:%Y-%m-%dT%H:%M:%SZ}"):
        done = CliRunner().invoke(program, [*command, f"--signing-key-file={ready.settings.signing_key_file}"])
    assert done.exit_code == 0, done.output
    there = replace(ready.settings, signing_key_file=new)
    ready.corner = replace(ready.corner, settings=there)
    ready.record(3, (NOW - datetime.now(UTC)) / timedelta(days=1))  # now, behind what the command recorded
    ready.seal()


def lose_nothing(ready: Scene) -> None:
    """What OpenSearch refused for good is a dead letter."""
    ready.record(3, 0)
    send = ready.corner.send

    def refuse(documents: Sequence[Document]) -> list[Verdict]:
        verdicts = send([document for document in documents if b'"target":"1"' not in document.raw])
        answers = iter(verdicts)
        return [
            Verdict("refused", "no") if b'"target":"1"' in document.raw else next(answers) for document in documents
        ]

    Shipper(ready.settings, refuse).run_once(patience=10)
    ready.seal()


@pytest.mark.parametrize("done", [erase, rotate, lose_nothing], ids=lambda done: done.__name__)
def test_it_agrees_that_nothing_is_wrong(done: Callable[[Scene], None], ready: Scene, tmp_path: Path) -> None:
    key = ("--public-key", str(ready.settings.signing_key_file) + ".pub")
    done(ready)
    exported(ready, tmp_path / "all.ndjson")
    exported(ready, tmp_path / "part.ndjson", Filter.of(target=["3", "7"]))
    for level in ("own", "outside"):
        assert ready.verify(level).findings == []
    for name in ("all", "part"):
        file, manifest = tmp_path / f"{name}.ndjson", tmp_path / f"{name}.ndjson.manifest.dsse"
        assert said(file, *key) <= {("the manifest is not signed by a trusted key", 0, 0)}
        assert manifest.exists()


def test_a_part_of_the_log_is_shown_entry_by_entry(ready: Scene, tmp_path: Path) -> None:
    exported(ready, tmp_path / "part.ndjson", Filter.of(target=["3", "7"]))
    key = ("--public-key", str(ready.settings.signing_key_file) + ".pub")
    assert said(tmp_path / "part.ndjson", *key) == set()
    evidence = (tmp_path / "part.ndjson.evidence.ndjson").read_text()
    assert evidence.count('"path"') == 6
    file = tmp_path / "part.ndjson.evidence.ndjson"
    file.write_text(evidence.replace('"leaf":3', '"leaf":4'))
    assert {kind for kind, _, _ in said(tmp_path / "part.ndjson", *key)} == {
        "rebuilt",
        "the evidence does not match the manifest",
    }


def test_it_checks_a_proof(ready: Scene, tmp_path: Path) -> None:
    trusted = judged([Source("a witness", ready.witness)], [])
    entry = ready.hits()[17]["_source"]
    proof = Prover(AuditClient(ready.settings, client=ready.corner.client), trusted).prove(entry)
    key = f"--public-key={ready.settings.signing_key_file}.pub"
    command = [sys.executable, str(VERIFIER), "proof", str(tmp_path / "proof.json"), key]
    told = {}
    for old, new in (("", ""), ('"principal": "42"', '"principal": "43"'), ('"index": 6', '"index": 5')):
        (tmp_path / "proof.json").write_text(proof.to_json().replace(old, new) if old else proof.to_json())
        told[new] = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [done.returncode for done in told.values()] == [0, 1, 1]
    assert told[""].stdout == f"entry 17 was in journal {ready.journal}\n"
    assert "the entry does not match its hash" in told['"principal": "43"'].stdout
