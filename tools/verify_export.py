"""Checks an export without whodid: by docs/format.md and docs/export.md alone, in a few lines that an auditor can read.

    python verify_export.py october.ndjson [signing.pem.pub]

The file is NDJSON, as it is or compressed (.gz), with its manifest beside it. Needs Python, the `rfc8785` library and,
for a signature, `cryptography`. Prints what does not hold, and exits with 1 if there is anything.

What it can't know: whether the log has entries that the export leaves out. Where two entries follow each other in a
journal, it checks that nothing came between them.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rfc8785

KIND = "application/vnd.whodid.export+json"


def entry_hash(entry: dict[str, Any]) -> str:
    body = {name: value for name, value in entry.items() if name not in ("hash", "salts", "erased")}
    for name, salt in entry.get("salts", {}).items():
        digest = hashlib.sha256(bytes.fromhex(salt) + rfc8785.dumps(body[name])).hexdigest()
        body[name] = f"sha256:{digest}"
    body.update(entry.get("erased", {}))
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


def root(leaves: list[bytes]) -> str:
    """RFC 6962, section 2.1, level by level: what has no neighbour goes up as it is."""
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + level[n] + level[n + 1]).digest() for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return (level[0] if level else hashlib.sha256().digest()).hex()


def problems(file: Path, key: Path | None) -> Iterator[str]:
    written = Path(f"{file}.manifest.json").read_bytes()
    manifest = json.loads(written)
    if key:
        yield from unsigned(Path(f"{file}.manifest.dsse"), written, key)
    if manifest["form"] != "ndjson":
        yield f"only the entries of an NDJSON export can be checked, and this is {manifest['form']}"
        return
    data = file.read_bytes()
    if len(data) != manifest["bytes"] or hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        yield "the file is not the one that the manifest is of"
    lines = (gzip.decompress(data) if manifest["compressed"] else data).splitlines()
    if len(lines) != manifest["count"]:
        yield f"{len(lines)} entries are there, {manifest['count']} were exported"
    leaves: list[bytes] = []
    places: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            leaves.append(str(entry.get("hash", "")).encode())
            if entry_hash(entry) != entry["hash"]:
                yield f"line {number}: altered"
            place = entry["journal"], entry["seq"]
        except (AttributeError, KeyError, ValueError, TypeError, rfc8785.CanonicalizationError):
            yield f"line {number}: no entry of whodid's"
            continue
        if place in places:
            yield f"line {number}: another entry has its place in the journal"
        places[place] = entry
    for (journal, seq), entry in places.items():
        before = places.get((journal, seq - 1))
        if before and before["hash"] != entry["prev"]:
            yield f"entry {seq} of journal {journal} does not follow the one before it"
    if root(leaves) != manifest["root"]:
        yield "the entries are not those of the manifest's root"


def unsigned(path: Path, manifest: bytes, key: Path) -> Iterator[str]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if not path.exists():
        yield "the manifest is not signed"
        return
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    public = load_pem_public_key(key.read_bytes())
    if not isinstance(public, Ed25519PublicKey):
        yield f"{key} is no key of Ed25519"
        return
    for signature in envelope["signatures"]:
        try:
            signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
            public.verify(base64.b64decode(signature["sig"]), signed)
            break
        except InvalidSignature:
            continue
    else:
        yield "the manifest is not signed by this key"
    if kind.decode() != KIND or payload != manifest:
        yield "the manifest is another than the signed one"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    print("\n".join(found) or "nothing is wrong with it")
    sys.exit(1 if found else 0)
