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

The erasure: a person is forgotten, and the log still verifies.

Of the entries whose principal the person is, or for whom it was done, the values of the fields that the catalog marks
`personal` go, with the salt; their commitments stay, so the hashes still fit, and nothing can be read from them. The
ID stays: it is a pseudonym once nothing else says whose it is. `entry` does it to one entry, `host` to the journal and
the dead letters of this host, `cluster` to what is stored; `opensearch.erasures` has the records.
"""

from __future__ import annotations

from .erase import ErasurePlan, ErasureReport, erase, plan_erasure
from .erase_cluster import IMMUTABLE, Erased, Left, erase_stored, exported_since, remove_from_files, snapshots_with
from .erase_journal import HostErased, erase_on_host, erased_entry, is_of, what_else_holds
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
    "IMMUTABLE",
    "Enforced",
    "Erased",
    "ErasurePlan",
    "ErasureReport",
    "HoldChange",
    "HostErased",
    "Left",
    "Retired",
    "Rotated",
    "drop_dead_letters",
    "enforce_retention",
    "erase",
    "erase_on_host",
    "erase_stored",
    "erased_entry",
    "export_dead_letters",
    "exported_since",
    "is_of",
    "loss_of_release",
    "loss_of_retention",
    "plan_erasure",
    "release_hold",
    "remove_from_files",
    "retire_journal",
    "retry_dead_letters",
    "rotate_key",
    "set_hold",
    "set_retention",
    "snapshots_with",
    "what_else_holds",
]
