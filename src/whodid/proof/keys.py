"""Ed25519 keys and signed envelopes.

A private key is a PEM file (PKCS 8, mode 0600), or stays in a KMS or an HSM behind a command that signs what it reads
from standard input. A public key is a PEM file (SubjectPublicKeyInfo). Its ID is the beginning of the SHA-256 of its 32
bytes; it only says which key to try.

An envelope is a payload with its signatures, by DSSE 1.0 (https://github.com/secure-systems-lab/dsse):
`{"payload": base64, "payloadType": …, "signatures": [{"keyid": …, "sig": base64}]}`. The payload type is signed,
too, so that a signed payload of one type is never taken for another.
"""

from __future__ import annotations

import base64
import binascii
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ProofError, SettingsError
from ..files import read_bytes, read_secret, write_new
from ..settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "PublicKey",
    "Signer",
    "envelope_of",
    "new_key",
    "open_envelope",
    "payload_of",
    "read_public_key",
    "signed_by",
    "signer_of",
    "signers_of",
]

_SIGNATURE_BYTES = 64
_COMMAND_TIMEOUT = 60.0
"""The time limit of a signing command, in seconds."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """32 bytes of Ed25519 (RFC 8032)."""

    raw: bytes

    @property
    def id(self) -> str:
        return sha256(self.raw).hexdigest()[:16]

    @property
    def pem(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return _public(self.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Returns whether the signature of the data was made with the private key."""
        from cryptography.exceptions import InvalidSignature

        try:
            _public(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Something that can sign: a file, a KMS, an HSM."""

    @property
    def key(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """Returns the signature, 64 bytes. Raises `ProofError`."""
        ...


class _FileSigner:
    def __init__(self, private: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._private = private
        self.key = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)


class _CommandSigner:
    """Runs a command for each signature, and verifies its output with the public key."""

    def __init__(self, command: str, key: PublicKey) -> None:
        program, *rest = shlex.split(command)
        self._command = [str(Path(program).absolute()) if "/" in program else program, *rest]
        self.key = key

    def sign(self, data: bytes) -> bytes:
        try:
            done = subprocess.run(self._command, input=data, capture_output=True, timeout=_COMMAND_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProofError(f"signing_command can't be run: {error}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-200:]
            raise ProofError(f"signing_command failed with exit code {done.returncode}: {said}")
        signature = _signature_of(done.stdout)
        if not self.key.verifies(signature, data):
            raise ProofError("the output of signing_command is not a signature by the key of signing_public_key")
        return signature


def _signature_of(output: bytes) -> bytes:
    """The signature in the output of a command: raw bytes, or base64."""
    if len(output) == _SIGNATURE_BYTES:
        return output
    try:
        return base64.b64decode(output.strip(), validate=True)
    except binascii.Error:
        return b""


def signer_of(settings: Settings) -> Signer | None:
    """Returns the signer of the settings; `None` if no signing key is configured. Raises `SettingsError`."""
    if settings.signing_command:
        return _CommandSigner(settings.signing_command, read_public_key(settings.signing_public_key))
    if settings.signing_key:
        return _FileSigner(_private(settings.signing_key, "signing_key"))
    if settings.signing_key_file:
        text = read_secret("signing_key_file", settings.signing_key_file)
        return _FileSigner(_private(text, f"signing_key_file: {settings.signing_key_file}"))
    return None


def _private(pem: str, where: str) -> Ed25519PrivateKey:
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise SettingsError(
            f"{where} is not an Ed25519 private key in PEM without a password; create one with `whodid key new`"
        )
    return private


def read_public_key(path: str | Path) -> PublicKey:
    """Reads the public key in a PEM file. Raises `SettingsError`."""
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        found = load_pem_public_key(read_bytes("the public key", str(path)))
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise SettingsError(f"{path} is not an Ed25519 public key in PEM")
    return PublicKey(found.public_bytes(Encoding.Raw, PublicFormat.Raw))


def new_key(path: str | Path) -> PublicKey:
    """Creates a private key at `path` (0600) and its public key at `path` + `.pub`.

    Raises `ProofError` if a file already exists, or can't be written.
    """
    _needs_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    key = _FileSigner(private).key
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = Path(f"{path}.pub")
    try:
        if public.exists():
            raise FileExistsError
        write_new(Path(path), secret)
        write_new(public, key.pem.encode(), 0o644)
    except FileExistsError as error:
        raise ProofError(f"{error.filename or public} already exists; a key is never overwritten") from None
    except OSError as error:
        raise ProofError(f"the key can't be written to {error.filename or path} ({error.strerror})") from error
    return key


def _public(raw: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw)


def _needs_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise SettingsError('signatures need an extra: pip install "whodid[proof]"') from None


def envelope_of(payload: bytes, kind: str, *signers: Signer) -> dict[str, Any]:
    """Makes the envelope of a payload of type `kind`, signed by each signer. Raises `ProofError`."""
    data = _signed(payload, kind)
    signatures = [{"keyid": one.key.id, "sig": base64.b64encode(one.sign(data)).decode()} for one in signers]
    return {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}


def payload_of(envelope: Mapping[str, Any], kind: str) -> bytes:
    """Returns the payload without checking signatures. Raises `ProofError` if it is not an envelope of that type."""
    return _parts(envelope, kind)[0]


def open_envelope(envelope: Mapping[str, Any], kind: str, keys: Iterable[PublicKey]) -> tuple[bytes, PublicKey]:
    """Returns the payload, and which of the keys signed it. Raises `ProofError` unless one of them did."""
    payload, signatures = _parts(envelope, kind)
    data = _signed(payload, kind)
    for key in keys:
        if any(key.verifies(signature, data) for _, signature in signatures):
            return payload, key
    named = ", ".join(name for name, _ in signatures) or "none"
    raise ProofError(f"it is not signed by a trusted key; it names {named}")


def signers_of(envelope: Mapping[str, Any], kind: str, keys: Iterable[PublicKey]) -> frozenset[PublicKey]:
    """Returns which of the keys signed it. Raises `ProofError` if it is not an envelope of that type."""
    payload, signatures = _parts(envelope, kind)
    data = _signed(payload, kind)
    return frozenset(key for key in keys if any(key.verifies(signature, data) for _, signature in signatures))


def signed_by(envelope: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Returns the key IDs that the envelope names, which proves nothing. Raises `ProofError` if it is not one."""
    return tuple(name for name, _ in _parts(envelope, kind)[1])


def _parts(envelope: Mapping[str, Any], kind: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    match envelope:
        case {"payload": str(payload), "payloadType": str(found), "signatures": list(signatures)}:
            pass
        case _:
            raise ProofError("it is not a DSSE envelope")
    if found != kind:
        raise ProofError(f"it contains {found}, but {kind} was expected")
    try:
        return _bytes(payload), [(str(one["keyid"]), _bytes(one["sig"])) for one in signatures]
    except (binascii.Error, KeyError, TypeError, ValueError):
        raise ProofError("it is not a DSSE envelope") from None


def _bytes(text: str) -> bytes:
    """Decodes canonical base64 only: decoding ignores some bits of the last character."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError("not the canonical form")
    return found


def _signed(payload: bytes, kind: str) -> bytes:
    """The signed bytes: the pre-authentication encoding of DSSE."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
