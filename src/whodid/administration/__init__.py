"""Administration: what people do to the log itself, recorded in the log, for Python as for the command line.

    from whodid import AuditClient
    from whodid.administration import set_hold

    with AuditClient() as client:
        set_hold(client.connection, client.settings, "case 4711", since="2026-03-01", until="2026-06-01")

Each function records who does it and why, does it, and returns what was done. Who does it is the principal of
`whodid.context`, else the user of the operating system. Nobody is asked for confirmation: a caller that wants one shows
`plan_erasure`, `loss_of_release` or `loss_of_retention` first.

The record precedes the action, so `NotRecorded` and `JournalDamaged` then mean that nothing was done. Four records
follow it, as they say what came of it: of dead letters that were sent again or exported, of partitions past their time
that were deleted, and of a new key. All go into the journal of the settings, from where a shipper sends them.
"""

from __future__ import annotations

from .erase import ErasurePlan, ErasureReport, erase, plan_erasure
from .host import (
    Retired,
    Rotated,
    drop_dead_letters,
    export_dead_letters,
    retire_journal,
    retry_dead_letters,
    rotate_key,
)
from .retention import (
    Enforced,
    HoldChange,
    enforce_retention,
    loss_of_release,
    loss_of_retention,
    release_hold,
    set_hold,
    set_retention,
)

__all__ = [
    "Enforced",
    "ErasurePlan",
    "ErasureReport",
    "HoldChange",
    "Retired",
    "Rotated",
    "drop_dead_letters",
    "enforce_retention",
    "erase",
    "export_dead_letters",
    "loss_of_release",
    "loss_of_retention",
    "plan_erasure",
    "release_hold",
    "retire_journal",
    "retry_dead_letters",
    "rotate_key",
    "set_hold",
    "set_retention",
]
