"""An independent check of a chain of entries: standard library and `rfc8785` only, from docs/reference/format.md.

Reads entries as JSON lines on stdin in order of `seq`; prints what does not hold; exits 1 if anything.
"""

import hashlib
import json
import sys
from typing import Any

import rfc8785

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


def problems(entries: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    before: dict[str, tuple[int, str]] = {}
    for entry in entries:
        seq, prev = before.get(entry["journal"], (0, "0" * 64))
        if entry_hash(entry) != entry["hash"]:
            found.append(f"{entry['seq']}: altered")
        if (entry["seq"], entry["prev"]) != (seq + 1, prev):
            found.append(f"{entry['seq']}: does not follow {seq}")
        before[entry["journal"]] = (entry["seq"], entry["hash"])
    return found


if __name__ == "__main__":
    bad = problems([json.loads(line) for line in sys.stdin])
    print("\n".join(bad) or "intact")
    sys.exit(1 if bad else 0)
