"""Checks the proof of one entry (`whodid prove`) without whodid, by docs/reference/format.md alone.

    python verify_proof.py proof.json [signing.pem.pub]

Needs Python, `rfc8785` and `cryptography`. Prints what does not hold, and exits with 1 if there is anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

CHECKPOINT = "application/vnd.whodid.checkpoint+json"
NEVER_COMMITTED = {
    *[
        "type",
        "target",
        "principal",
        "creation_date",
        "@timestamp",
        "target_type",
        "before",
        "after",
        "details",
        "shortened",
    ]
}
NEVER_COMMITTED |= {
    *["service", "host", "schema_version", "journal", "seq", "prev", "hash", "committed", "salt", "salts", "erased"]
}


def content(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SystemExit(f"{path} can't be read: {error.strerror}") from None


def entry_hash(entry: dict[str, Any]) -> str:
    body = {name: value for name, value in entry.items() if name not in ("hash", "salt", "salts", "erased")}
    names, left, erased = entry.get("committed", []), entry.get("salts", {}), entry.get("erased", {})
    if "salt" in entry and not left and not erased:
        pieces = hashlib.shake_256(bytes.fromhex(entry["salt"])).hexdigest(16 * len(names))
        left = {name: pieces[32 * at : 32 * at + 32] for at, name in enumerate(names)}
    elif "salt" in entry or ("committed" in entry and not erased):
        raise ValueError("salt, salts and erased do not go together")
    if sorted([*left, *erased]) != names or {*erased} & {*entry} or {*names} & NEVER_COMMITTED:
        raise ValueError("what opens them is not of the committed fields")
    for name, salt in left.items():
        body[name] = "sha256:" + hashlib.sha256(bytes.fromhex(salt) + rfc8785.dumps(body[name])).hexdigest()
    return hashlib.sha256(rfc8785.dumps(body | erased)).hexdigest()


def fits(entry: dict[str, Any]) -> bool:
    try:
        return entry["schema_version"].startswith("2.") and entry_hash(entry) == entry["hash"]
    except (AttributeError, KeyError, TypeError, ValueError, rfc8785.CanonicalizationError):
        return False


def loads(data: bytes | str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise SystemExit(f"a name is there twice in one object: {[name for name, _ in pairs]}")
        return dict(pairs)

    return json.loads(data, object_pairs_hook=unique)


def leaf(hash_: str) -> bytes:
    return hashlib.sha256(b"\0" + hash_.encode()).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes: list[str]) -> str:
    """RFC 6962, section 2.1: what has no neighbour goes up as it is."""
    level = [leaf(hash_) for hash_ in hashes]
    while len(level) > 1:
        pairs = [node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return (level[0] if level else hashlib.sha256().digest()).hex()


def root_by_path(hash_: str, index: int, size: int, path: list[str]) -> str:
    """RFC 9162, section 2.1.3.2; empty for a path of another length."""
    at, last = leaf(hash_), size - 1
    for beside in map(bytes.fromhex, path):
        if last and (index & 1 or index == last):
            at = node(beside, at)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            at = node(at, beside)
        index, last = index >> 1, last >> 1
    return at.hex() if not last else ""


def read_keys(*paths: str | Path) -> set[str]:
    """The 32 bytes of each public key, in hex."""
    return {load_pem_public_key(content(path)).public_bytes_raw().hex() for path in paths}


def opened(envelope: dict[str, Any], kind: str, keys: set[str]) -> tuple[bytes, set[str]]:
    """The payload of a DSSE envelope, and which of the keys signed it, as being of that kind."""
    payload, name = base64.b64decode(envelope["payload"]), kind.encode()
    data, signers = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload), set()
    for key in keys:
        for signature in envelope["signatures"]:
            with suppress(InvalidSignature):
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(base64.b64decode(signature["sig"]), data)
                signers.add(key)
    return payload, signers


def problems(proof: dict[str, Any], keys: set[str]) -> Iterator[str]:
    payload, signers = opened(proof["checkpoint"], CHECKPOINT, keys)
    one, entry = json.loads(payload), proof["entry"]
    if keys and not signers:
        yield "the checkpoint is not signed by this key"
    if not fits(entry):
        yield "the entry was changed: its content does not fit its hash"
    place = proof["index"], proof["size"], proof["path"]
    if (entry["journal"], proof["size"]) != (one["journal"], one["entries"]):
        yield "the checkpoint is of other entries"
    if root_by_path(entry["hash"], *place) != one["root"]:
        yield "the entry does not lead to the root of the checkpoint"


if __name__ == "__main__":
    proof = loads(content(sys.argv[1]))
    found = list(problems(proof, read_keys(*sys.argv[2:])))
    print("\n".join(found) or f"entry {proof['entry']['seq']} was in journal {proof['entry']['journal']}")
    sys.exit(1 if found else 0)
