"""Administrative actions on the log, which are recorded in the log, for Python and for the command line.

    from whodid import AuditClient
    from whodid.administration import set_hold

    with AuditClient() as client:
        set_hold(client.connection, client.settings, "case 4711", since="2026-03-01", until="2026-06-01")

Each function records who acts and why, acts, and returns what was done. The actor is the principal of
`whodid.context`, or else the user of the operating system. No function asks for confirmation: a caller that wants one
shows `plan_erasure`, `loss_of_release` or `loss_of_retention` first.

The record precedes the action, so `NotRecorded` and `JournalDamaged` mean that nothing was done. Four records follow
their action, as they contain its result: of dead letters that were retried or exported, of deleted partitions, and of a
new key. All records go into the journal of the settings, and a shipper sends them.

Erasing a person removes the values of the fields that the catalog marks `personal`, and their salts, from entries by
the person and on their behalf. The commitments stay, so the log still verifies, and reveal nothing. The ID stays, too:
it is a pseudonym once nothing else links it to the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..resources import at_first_use

if TYPE_CHECKING:
    from .erase_cluster import remove_from_files
    from .erasure import ErasurePlan, ErasureReport, erase, plan_erasure
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
    "remove_from_files",
    "retire_journal",
    "retry_dead_letters",
    "rotate_key",
    "set_hold",
    "set_retention",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Enforced": ".retention",
        "ErasurePlan": ".erasure",
        "ErasureReport": ".erasure",
        "HoldChange": ".retention",
        "Retired": ".host",
        "Rotated": ".host",
        "drop_dead_letters": ".host",
        "enforce_retention": ".retention",
        "erase": ".erasure",
        "export_dead_letters": ".host",
        "loss_of_release": ".retention",
        "loss_of_retention": ".retention",
        "plan_erasure": ".erasure",
        "release_hold": ".retention",
        "remove_from_files": ".erase_cluster",
        "retire_journal": ".host",
        "retry_dead_letters": ".host",
        "rotate_key": ".host",
        "set_hold": ".retention",
        "set_retention": ".retention",
    },
)
