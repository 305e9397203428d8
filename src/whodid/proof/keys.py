"""The keys: Ed25519, for signing what the log says of itself, and for checking it.

A private key is a PEM file (PKCS 8, mode 0600), or stays where it is, in a KMS or an HSM, behind a command that signs
what it reads from standard input. A public key is a PEM file (SubjectPublicKeyInfo). Its ID is the beginning of the
SHA-256 of its 32 bytes; it only says which key to try.

The envelope: a statement with its signatures, by DSSE 1.0 (https://github.com/secure-systems-lab/dsse).

`{"payload": base64, "payloadType": …, "signatures": [{"keyid": …, "sig": base64}]}`. What is signed says of which type
the payload is, so that a signed statement of one kind is never taken for another.
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
    "new_key",
    "opened",
    "payload_of",
    "read_public_key",
    "sealed",
    "signed_by",
    "signer_of",
    "signers_of",
]

_SIGNATURE_BYTES = 64
_PATIENCE = 60.0
"""Seconds that a command may take to sign."""


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
        """Whether the owner of the private key signed the data."""
        from cryptography.exceptions import InvalidSignature

        try:
            _public(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Whoever can sign: a file, a KMS, an HSM."""

    @property
    def key(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """64 bytes. Raises `ProofError`."""
        ...


class _FileSigner:
    def __init__(self, private: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._private = private
        self.key = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)


class _CommandSigner:
    """Runs a command for each signature, and checks what it gives with the public key."""

    def __init__(self, command: str, key: PublicKey) -> None:
        program, *rest = shlex.split(command)
        self._command = [str(Path(program).absolute()) if "/" in program else program, *rest]
        self.key = key

    def sign(self, data: bytes) -> bytes:
        try:
            done = subprocess.run(self._command, input=data, capture_output=True, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProofError(f"signing_command can't be run: {error}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-200:]
            raise ProofError(f"signing_command ended with {done.returncode}: {said}")
        signature = _decoded(done.stdout)
        if not self.key.verifies(signature, data):
            raise ProofError("signing_command gave no signature that signing_public_key accepts; see what it prints")
        return signature


def _decoded(output: bytes) -> bytes:
    """A signature as a command prints it: its bytes, or base64."""
    if len(output) == _SIGNATURE_BYTES:
        return output
    try:
        return base64.b64decode(output.strip(), validate=True)
    except binascii.Error:
        return b""


def signer_of(settings: Settings) -> Signer | None:
    """Who signs, by the settings; `None` where nobody does. Raises `SettingsError`."""
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
            f"{where} is no private key of Ed25519 in PEM without a password; make one by `whodid key new`"
        )
    return private


def read_public_key(path: str | Path) -> PublicKey:
    """The public key in a PEM file. Raises `SettingsError`."""
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        found = load_pem_public_key(read_bytes("the public key", str(path)))
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise SettingsError(f"{path} is no public key of Ed25519 in PEM")
    return PublicKey(found.public_bytes(Encoding.Raw, PublicFormat.Raw))


def new_key(path: str | Path) -> PublicKey:
    """Makes a private key at `path` (0600) and its public key at `path` + `.pub`; never over a file that is there.

    Raises `ProofError`.
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
            raise FileExistsError(f"{public} is there already")
        write_new(Path(path), secret)
        write_new(public, key.pem.encode(), 0o644)
    except FileExistsError as error:
        raise ProofError(f"{error.filename or public} is there already; a key is never overwritten") from None
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


def sealed(payload: bytes, kind: str, *signers: Signer) -> dict[str, Any]:
    """The envelope of a payload of the type `kind`, signed by each of them, or by nobody. Raises `ProofError`."""
    data = _signed(payload, kind)
    signatures = [{"keyid": one.key.id, "sig": base64.b64encode(one.sign(data)).decode()} for one in signers]
    return {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}


def payload_of(envelope: Mapping[str, Any], kind: str) -> bytes:
    """The payload, whoever signed it or didn't. Raises `ProofError` where it is no envelope of that type."""
    return _parts(envelope, kind)[0]


def opened(envelope: Mapping[str, Any], kind: str, keys: Iterable[PublicKey]) -> tuple[bytes, PublicKey]:
    """The payload, and which of the keys signed it. Raises `ProofError` unless one of them did."""
    payload, signatures = _parts(envelope, kind)
    data = _signed(payload, kind)
    for key in keys:
        if any(key.verifies(signature, data) for _, signature in signatures):
            return payload, key
    raise ProofError(
        f"no key that is trusted here has signed it; it names {', '.join(name for name, _ in signatures) or 'none'}"
    )


def signers_of(envelope: Mapping[str, Any], kind: str, keys: Iterable[PublicKey]) -> frozenset[PublicKey]:
    """Which of the keys signed it. Raises `ProofError` where it is no envelope of that type."""
    payload, signatures = _parts(envelope, kind)
    data = _signed(payload, kind)
    return frozenset(key for key in keys if any(key.verifies(signature, data) for _, signature in signatures))


def signed_by(envelope: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """IDs of the keys that it names, which proves nothing. Raises `ProofError` where it is no envelope."""
    return tuple(name for name, _ in _parts(envelope, kind)[1])


def _parts(envelope: Mapping[str, Any], kind: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    match envelope:
        case {"payload": str(payload), "payloadType": str(found), "signatures": list(signatures)}:
            pass
        case _:
            raise ProofError("it is no DSSE envelope")
    if found != kind:
        raise ProofError(f"it holds {found}, and {kind} was expected")
    try:
        return _bytes(payload), [(str(one["keyid"]), _bytes(one["sig"])) for one in signatures]
    except (binascii.Error, KeyError, TypeError, ValueError):
        raise ProofError("it is no DSSE envelope") from None


def _bytes(text: str) -> bytes:
    """Of one form alone: the last character may have bits that decoding ignores."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError("not the canonical form")
    return found


def _signed(payload: bytes, kind: str) -> bytes:
    """The pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
