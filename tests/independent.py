"""An independent check of a chain of entries, by the hash of tools/verify_log.py, which knows nothing of whodid."""

from __future__ import annotations

from typing import Any

from tools.verify_log import entry_hash, hash_matches

__all__ = ["entry_hash", "hash_matches", "problems"]


def problems(entries: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    before: dict[str, tuple[int, str]] = {}
    for entry in entries:
        seq, prev = before.get(entry["journal"], (0, "0" * 64))
        if not hash_matches(entry):
            found.append(f"{entry['seq']}: altered")
        if (entry["seq"], entry["prev"]) != (seq + 1, prev):
            found.append(f"{entry['seq']}: does not follow {seq}")
        before[entry["journal"]] = (entry["seq"], entry["hash"])
    return found
