"""The files of OpenSearch: in which a replaced document stays until a merge leaves it out, which is brought about here.

By itself a merge of what was deleted leaves every segment alone of which less than a tenth was. So
`index.merge.policy.expunge_deletes_allowed` is 0 for as long as it takes. A shard also keeps what was deleted for its
copies, and lets go of it half a minute later: the merge is asked for until `docs.deleted` is 0 in all copies.

Crash behaviour: the setting stays at 0, which makes later merges of this kind more thorough, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..cluster.connection import translated
from ..errors import NotAuthorized, OpenSearchError

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["remove_from_files"]

_ALLOWED = "index.merge.policy.expunge_deletes_allowed"
_PAUSE = 2.0

Progress = Callable[[int, int], None]


def remove_from_files(
    connection: OpenSearch,
    partitions: Iterable[str],
    *,
    patience: float,
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, str]:
    """Why the files of a partition may still hold replaced documents after `patience` seconds, by partition.

    One that is not in the answer holds none. What can't be done is in the answer, too.
    """
    left = dict.fromkeys(sorted(partitions), "")
    total, deadline = len(left), monotonic() + patience
    while left:
        for name in [*left]:
            try:
                left[name] = _merged(connection, name)
            except OpenSearchError as error:
                left[name] = _why(error)
            if not left[name]:
                del left[name]
        on_progress(total - len(left), total)
        if not left or monotonic() >= deadline:
            break
        pause(_PAUSE)
    return left


def _merged(connection: OpenSearch, partition: str) -> str:
    """Asks for a merge if there is anything to be merged away; says what is left, empty for nothing."""
    if not (before := _deleted(connection, partition)):
        return ""
    with translated(f"merging {partition}"):
        connection.indices.put_settings(index=partition, body={_ALLOWED: 0})
        try:
            connection.indices.flush(index=partition)
            connection.indices.forcemerge(index=partition, params={"only_expunge_deletes": "true", "flush": "true"})
        finally:
            connection.indices.put_settings(index=partition, body={_ALLOWED: None})
    left = _deleted(connection, partition)
    return f"{left:,} of {before:,} replaced documents are still in its files" if left else ""


def _deleted(connection: OpenSearch, partition: str) -> int:
    """In all copies of it."""
    with translated(f"the files of {partition}"):
        stats: Any = connection.indices.stats(index=partition, metric="docs")
    return int(stats["_all"]["total"]["docs"]["deleted"])


def _why(error: OpenSearchError) -> str:
    if isinstance(error, NotAuthorized):
        return "this user may not merge its files: give the role whodid_eraser, or do it as an administrator"
    return f"its files could not be merged: {error}"
