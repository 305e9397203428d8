"""Keys and envelopes: what is signed is what is read, by whom it was said, and nothing else passes."""

from __future__ import annotations

import base64
import json
import shlex
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.commands import whodid
from whodid.errors import ProofError, SettingsError
from whodid.proof.keys import (
    PublicKey,
    Signer,
    envelope_of,
    new_key,
    open_envelope,
    read_public_key,
    signed_by,
    signer_of,
)
from whodid.settings import Settings

KIND = "application/vnd.whodid.test+json"
PAYLOAD = b'{"a": 1}'


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    new_key(tmp_path / "key.pem")
    found = signer_of(Settings(signing_key_file=str(tmp_path / "key.pem")))
    assert found
    return found


def test_what_is_signed_is_what_is_read(signer: Signer) -> None:
    envelope = json.loads(json.dumps(envelope_of(PAYLOAD, KIND, signer)))
    assert open_envelope(envelope, KIND, [signer.key]) == (PAYLOAD, signer.key)
    assert signed_by(envelope, KIND) == (signer.key.id,)


def test_the_encoding_is_that_of_dsse(signer: Signer) -> None:
    """The example of its protocol.md."""
    envelope = envelope_of(b"hello world", "http://example.com/HelloWorld", signer)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    assert signer.key.verifies(signature, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")


def changed(envelope: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**envelope, **fields}


def test_nothing_else_passes(signer: Signer, tmp_path: Path) -> None:
    envelope = envelope_of(PAYLOAD, KIND, signer)
    another = new_key(tmp_path / "another.pem")
    with pytest.raises(ProofError, match=f"it is not signed by a trusted key; it names {signer.key.id}"):
        open_envelope(envelope, KIND, [another])
    [signature] = envelope["signatures"]
    others = [
        changed(envelope, payload=base64.b64encode(b'{"a": 2}').decode()),
        changed(envelope, payloadType="application/other"),
        changed(envelope, signatures=[]),
        changed(envelope, signatures=[{**signature, "sig": base64.b64encode(bytes(64)).decode()}]),
        changed(envelope, signatures=[{**signature, "sig": "?"}]),
        changed(envelope, signatures=[signature["sig"]]),
        changed(envelope, payload=None),
        {},
    ]
    for other in others:
        with pytest.raises(ProofError):
            open_envelope(other, KIND, [signer.key])
    forged = envelope_of(PAYLOAD, "application/other", signer)
    with pytest.raises(ProofError):  # signed by the right key, as something else
        open_envelope(changed(forged, payloadType=KIND), KIND, [signer.key])


def test_one_good_signature_among_others_is_enough_and_the_name_of_a_key_counts_for_nothing(signer: Signer) -> None:
    envelope = envelope_of(PAYLOAD, KIND, signer)
    [good] = envelope["signatures"]
    bad = {"keyid": good["keyid"], "sig": base64.b64encode(bytes(64)).decode()}
    for signatures in ([bad, good], [good, bad], [{**good, "keyid": "somebody else"}]):
        assert open_envelope(changed(envelope, signatures=signatures), KIND, [signer.key])[0] == PAYLOAD


def test_a_new_key_is_the_owner_s_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    key = new_key(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert read_public_key(tmp_path / "key.pem.pub") == key
    with pytest.raises(ProofError, match=r"key\.pem.* already exists"):
        new_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").unlink()
    with pytest.raises(ProofError, match=r"key\.pem\.pub already exists"):
        new_key(tmp_path / "key.pem")
    assert not (tmp_path / "key.pem").exists()
    with pytest.raises(ProofError, match="can't be written"):
        new_key(tmp_path / "nowhere" / "key.pem")


def test_a_key_from_the_environment_and_one_behind_a_command_sign_alike(tmp_path: Path, signer: Signer) -> None:
    pem = (tmp_path / "key.pem").read_text()
    program = (
        "import sys; from cryptography.hazmat.primitives.serialization import load_pem_private_key as load\n"
        f"key = load(open({str(tmp_path / 'key.pem')!r}, 'rb').read(), None)\n"
        "signature = key.sign(sys.stdin.buffer.read())\n"
    )
    raw = program + "sys.stdout.buffer.write(signature)"
    text = program + "import base64; print(base64.b64encode(signature).decode())"
    public = str(tmp_path / "key.pem.pub")
    settings = [
        Settings(signing_key=pem),
        *(Settings(signing_command=command(one), signing_public_key=public) for one in (raw, text)),
    ]
    for each in settings:
        found = signer_of(each)
        assert found
        assert open_envelope(envelope_of(PAYLOAD, KIND, found), KIND, [signer.key])[1] == signer.key
    assert signer_of(Settings()) is None
    assert "PRIVATE" not in repr(settings)


def command(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("print('AAAA')", "is not a signature by the key of signing_public_key"),
        ("print('not base64 at all!')", "is not a signature by the key of signing_public_key"),
        ("import sys; sys.exit('the HSM is locked')", "failed with exit code 1: the HSM is locked"),
    ],
)
def test_a_command_that_does_not_sign_is_an_error(tmp_path: Path, signer: Signer, program: str, says: str) -> None:
    public = str(tmp_path / "key.pem.pub")
    found = signer_of(Settings(signing_command=command(program), signing_public_key=public))
    assert found
    with pytest.raises(ProofError, match=says):
        found.sign(b"data")
    away = signer_of(Settings(signing_command="/nowhere/sign", signing_public_key=public))
    assert away
    with pytest.raises(ProofError, match="can't be run"):
        away.sign(b"data")


def test_settings_that_name_no_key(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no key")
    (tmp_path / "text").chmod(0o600)
    for settings in (Settings(signing_key_file=str(tmp_path / "text")), Settings(signing_key="no key")):
        with pytest.raises(SettingsError, match="is not an Ed25519 private key"):
            signer_of(settings)
    with pytest.raises(SettingsError, match="can't be read"):
        signer_of(Settings(signing_key_file=str(tmp_path / "nowhere")))
    with pytest.raises(SettingsError, match="is not an Ed25519 public key"):
        read_public_key(tmp_path / "text")
    with pytest.raises(SettingsError, match="two ways to sign"):
        Settings(signing_key="a", signing_command="b", signing_public_key="c")
    with pytest.raises(SettingsError, match="signing_command needs signing_public_key"):
        Settings(signing_command="sign")


def test_a_public_key_is_named_by_its_content() -> None:
    raw = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert raw.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"  # RFC 8032's arithmetic
    assert PublicKey(raw).id == "139e3940e64b5491"


def test_the_command_makes_and_shows_keys(tmp_path: Path) -> None:
    path = str(tmp_path / "key.pem")
    made = json.loads(whodid("key", "new", path, "--json").stdout)
    assert made == {"key": read_public_key(f"{path}.pub").id, "private": path, "public": f"{path}.pub"}
    shown = json.loads(whodid("key", "show", "--signing-key-file", path, "--json").stdout)
    assert shown == {"key": made["key"], "pem": Path(f"{path}.pub").read_text()}
    assert made["key"] in whodid("key", "show", "--signing-key-file", path).stdout
    again = whodid("key", "new", path)
    assert (again.returncode, "never overwritten" in again.stderr) == (1, True)
    nobody = whodid("key", "show")
    assert (nobody.returncode, "no signing key is configured" in nobody.stderr) == (2, True)
