"""Checks an export without whodid, by docs/reference/format.md alone, in a few lines that an auditor can read.

    python verify_export.py october.ndjson [signing.pem.pub …]

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

from verify_proof import content, fits, loads, opened, read_keys, root

KIND = "application/vnd.whodid.export+json"


def lines(path: str | Path) -> list[bytes]:
    data = content(path)
    return (gzip.decompress(data) if str(path).endswith(".gz") else data).splitlines()


def unlike_the_manifest(file: str, keys: set[str]) -> Iterator[str]:
    """Whether the file is the one that the manifest is of, and the manifest signed by one of the keys, if there are."""
    written, data = content(f"{file}.manifest.json"), content(file)
    manifest = json.loads(written)
    if keys:
        yield from unsigned(Path(f"{file}.manifest.dsse"), written, keys)
    if len(data) != manifest["bytes"] or hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        yield "the file is not the one that the manifest is of"
    evidence = Path(f"{file}.evidence.ndjson")
    if manifest["evidence"] and hashlib.sha256(content(evidence)).hexdigest() != manifest["evidence"]:
        yield "the evidence beside it is not the one that the manifest is of"
    if manifest["form"] != "ndjson":
        yield f"only the entries of an NDJSON export can be checked, and this is {manifest['form']}"
        return
    found = lines(file)
    if len(found) != manifest["count"]:
        yield f"{len(found)} entries are there, {manifest['count']} were exported"
    try:
        same = root([str(json.loads(line).get("hash", "")) for line in found]) == manifest["root"]
    except (AttributeError, ValueError):
        same = False
    if not same:
        yield "the entries are not those of the manifest's root"


def altered_entries(file: str) -> Iterator[str]:
    """Of the entries, each by itself, and how they follow each other."""
    places: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(lines(file), 1):
        try:
            entry = loads(line)
            if not fits(entry):
                yield f"line {number}: altered"
            place = entry["journal"], entry["seq"]
        except (AttributeError, KeyError, ValueError, TypeError):
            yield f"line {number}: no entry of whodid's"
            continue
        if place in places:
            yield f"line {number}: another entry has its place in the journal"
        places[place] = entry
    for (journal, seq), entry in places.items():
        before = places.get((journal, seq - 1))
        if before and before["hash"] != entry["prev"]:
            yield f"entry {seq} of journal {journal} does not follow the one before it"


def unsigned(path: Path, manifest: bytes, keys: set[str]) -> Iterator[str]:
    if not path.exists():
        yield "the manifest is not signed"
        return
    payload, signers = opened(json.loads(path.read_bytes()), KIND, keys)
    if not signers:
        yield "the manifest is not signed by this key"
    if payload != manifest:
        yield "the manifest is another than the signed one"


if __name__ == "__main__":
    file = sys.argv[1]
    found = [*unlike_the_manifest(file, read_keys(*sys.argv[2:]))]
    found += altered_entries(file) if json.loads(content(f"{file}.manifest.json"))["form"] == "ndjson" else []
    print("\n".join(found) or "nothing is wrong with it")
    sys.exit(1 if found else 0)
