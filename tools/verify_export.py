"""Checks an export without whodid: by docs/format.md and docs/export.md alone, in a few lines that an auditor can read.

    python verify_export.py october.ndjson [signing.pem.pub]

The file is NDJSON, as it is or compressed (.gz), with its manifest beside it. Needs Python, the `rfc8785` library and,
for a signature, `cryptography`. Prints what does not hold, and exits with 1 if there is anything.

What it can't know: whether the log has entries that the export leaves out; verify_log.py looks for them. Where two
entries follow each other in a journal, it checks that nothing came between them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rfc8785
from verify_proof import entry_hash, opened, read_key, root

KIND = "application/vnd.whodid.export+json"


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
    leaves: list[str] = []
    places: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            leaves.append(str(entry.get("hash", "")))
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
    if not path.exists():
        yield "the manifest is not signed"
        return
    payload, trusted = opened(json.loads(path.read_bytes()), KIND, read_key(key))
    if not trusted:
        yield "the manifest is not signed by this key"
    if payload != manifest:
        yield "the manifest is another than the signed one"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    print("\n".join(found) or "nothing is wrong with it")
    sys.exit(1 if found else 0)
