"""The vectors of docs/reference/format.md: a signed checkpoint, the proof of an entry, a rotation, and an erasure."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.checkpoint import EXAMPLE
from whodid.cluster.ledger import Erasure
from whodid.integrity import canonical
from whodid.proof.checkpoint import CHECKPOINT, SignedCheckpoint
from whodid.proof.keys import Signer, open_envelope, signer_of
from whodid.proof.merkle import Tree, inclusion_path, leaf_hash
from whodid.settings import Settings
from whodid.verify.inclusion import Inclusion, check_inclusion

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "format.md").read_text()
ENTRIES = [vector["entry"] for vector in json.loads((ROOT / "tests" / "vectors.json").read_text())]
FIRST, SECOND, _, _, THIRD, *_ = ENTRIES
LEAVES = [leaf_hash(entry["hash"].encode()) for entry in (FIRST, SECOND, THIRD)]

OLD = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
NEW = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
"""The first two private keys of RFC 8032, section 7.1."""


def signer(seed: str) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    found = signer_of(Settings(signing_key=pem))
    assert found
    return found


def tree() -> Tree:
    made = Tree()
    for entry in (FIRST, SECOND, THIRD):
        made.add(entry["hash"].encode())
    return made


CLOSED = replace(
    EXAMPLE,
    journal=FIRST["journal"],
    last_seq=3,
    last_hash=THIRD["hash"],
    entries=3,
    root=tree().root().hex(),
    partitions={"whodid-audit-2026.11": 3},
    time="2026-11-23T09:15:31Z",
    service="platform",
)
SEALED = CLOSED.sign(signer(OLD))
PROOF = Inclusion(SECOND, 1, 3, tuple(node.hex() for node in inclusion_path(LEAVES, 1)), SEALED.envelope)
ROTATED = replace(
    CLOSED,
    number=2,
    first_seq=4,
    entries=0,
    root=Tree().root().hex(),
    partitions={},
    previous=SEALED.hash,
    time="2026-11-23T09:20:00Z",
    why="key",
    keys=(signer(OLD).key.raw.hex(), signer(NEW).key.raw.hex()),
).sign(signer(OLD), signer(NEW))
ERASURE = Erasure(
    id="e-5a1c0f7e9b22",
    principal="42",
    reason="request 4711",
    by="ada",
    time="2026-11-24T10:00:00Z",
    fields=("client_ip", "principal_name"),
    places={FIRST["journal"]: "2"},
)


def test_the_checkpoint_stands_in_the_format_page() -> None:
    assert CLOSED.payload().decode() in PAGE
    assert f"`{SEALED.hash}`" in PAGE
    [signature] = SEALED.envelope["signatures"]
    for value in (OLD, signer(OLD).key.raw.hex(), signature["keyid"], signature["sig"]):
        assert f"`{value}`" in PAGE
    assert open_envelope(SEALED.envelope, CHECKPOINT, [signer(OLD).key])[0] == CLOSED.payload()


def test_the_proof_stands_in_the_format_page_and_holds_here_and_independently(tmp_path: Path) -> None:
    [shown] = [block for block in PAGE.split("```json\n") if block.startswith('{"path"')]
    assert json.loads(shown.partition("\n```")[0]) == {"path": list(PROOF.path), "index": 1, "size": 3}
    assert check_inclusion(PROOF, [signer(OLD).key])[0] == CLOSED
    (tmp_path / "proof.json").write_text(PROOF.to_json())
    (tmp_path / "key.pem").write_text(signer(OLD).key.pem)
    tool = [sys.executable, str(ROOT / "tools" / "verify_log.py"), "proof"]
    command = [*tool, str(tmp_path / "proof.json"), f"--public-key={tmp_path / 'key.pem'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"entry 2 was in journal {FIRST['journal']}\n")


def test_the_rotation_stands_in_the_format_page() -> None:
    assert ROTATED.checkpoint.payload().decode() in PAGE
    assert f"`{ROTATED.hash}`" in PAGE
    for signature in ROTATED.envelope["signatures"]:
        assert f"`{signature['sig']}`" in PAGE
    assert SignedCheckpoint.read(ROTATED.line()).checkpoint.change == (signer(OLD).key, signer(NEW).key)


def test_the_erasure_stands_in_the_format_page() -> None:
    assert canonical(ERASURE.body).decode() in PAGE
    assert f"`{ERASURE.digest}`" in PAGE


def test_the_signed_bytes_are_those_of_dsse() -> None:
    payload = base64.b64decode(SEALED.envelope["payload"])
    data = b"DSSEv1 %d %b %d %b" % (len(CHECKPOINT), CHECKPOINT.encode(), len(payload), payload)
    [signature] = SEALED.envelope["signatures"]
    assert signer(OLD).key.verifies(base64.b64decode(signature["sig"]), data)
