"""The envelope: a statement with its signatures, by DSSE 1.0 (https://github.com/secure-systems-lab/dsse).

`{"payload": base64, "payloadType": …, "signatures": [{"keyid": …, "sig": base64}]}`. What is signed says of which type
the payload is, so that a signed statement of one kind is never taken for another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ProofError
from .keys import PublicKey, Signer

__all__ = ["opened", "payload_of", "sealed", "signed_by", "signers_of"]


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
