"""The erasure: a person is forgotten, and the log still verifies.

Of the entries whose principal the person is, or for whom it was done, the values of the fields that the catalog marks
`personal` go, with the salt; their commitments stay, so the hashes still fit, and nothing can be read from them. The
ID stays: it is a pseudonym once nothing else says whose it is. `entry` does it to one entry, `host` to the journal and
the dead letters of this host, `cluster` to what is stored; `opensearch.erasures` has the records.
"""

from __future__ import annotations

from .cluster import IMMUTABLE, Erased, Left, erase_stored, exported_since, snapshots_with
from .entry import erased_entry, is_of
from .files import remove_from_files
from .host import HostErased, erase_on_host, what_else_holds

__all__ = [
    "IMMUTABLE",
    "Erased",
    "HostErased",
    "Left",
    "erase_on_host",
    "erase_stored",
    "erased_entry",
    "exported_since",
    "is_of",
    "remove_from_files",
    "snapshots_with",
    "what_else_holds",
]
