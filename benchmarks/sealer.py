"""`python -m benchmarks.sealer`: ships what is there once, and prints how much of the time checkpoints took.

Counted is all of `whodid.shipping.checkpointing` but for the position, which is written with or without checkpoints.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from whodid.journal import JournalDirectory
from whodid.settings import load_settings
from whodid.shipping import checkpointing
from whodid.shipping.service import connected_shipper

_spent = 0.0


def _timed(function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        global _spent
        begin = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            _spent += time.perf_counter() - begin

    return timed


def _main() -> None:
    for owner, name in (
        (checkpointing._Open, "add"),
        (checkpointing._Open, "note"),
        (checkpointing.Checkpointing, "_close"),
    ):
        setattr(owner, name, _timed(getattr(owner, name)))
    settings = load_settings()
    begin = time.perf_counter()
    connected_shipper(settings).run_once()
    seconds = time.perf_counter() - begin
    kept = [one.checkpoint for one in checkpointing.closed_checkpoints(JournalDirectory(settings.journal_dir))]
    report = {"seconds": seconds, "sealing": _spent, "closed": len(kept), "sealed": sum(one.entries for one in kept)}
    print(json.dumps(report))


if __name__ == "__main__":
    _main()
