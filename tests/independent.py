"""An independent check of a chain of entries: standard library and `rfc8785` only, written from docs/format.md.

Reads entries as JSON lines on stdin in order of `seq`; prints what does not hold; exits 1 if anything.
"""

import hashlib
import json
import sys
from typing import Any

import rfc8785


def entry_hash(entry: dict[str, Any]) -> str:
    body = {k: v for k, v in entry.items() if k not in ("hash", "salts", "erased")}
    for name, salt in entry.get("salts", {}).items():
        digest = hashlib.sha256(bytes.fromhex(salt) + rfc8785.dumps(body[name])).hexdigest()
        body[name] = "sha256:" + digest
    body.update(entry.get("erased", {}))
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


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
