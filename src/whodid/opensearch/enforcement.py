"""The enforcement of retention where the cluster has no ISM: the same rule, applied by whodid.

Only whole partitions go, past their ceiling by the cluster's clock, whose name is a partition's and whose mapping
carries our mark. A partition made late lives longer, one that was restored not shorter; the present one never goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import OpenSearchError
from ..settings import Settings, retention_days
from .clock import cluster_now
from .connection import translated
from .ism import Ism
from .retention import creation_dates, deletion_date, entry_count
from .template import MARK

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Expired", "delete", "expired"]


@dataclass(frozen=True, slots=True)
class Expired:
    """A partition past its ceiling since `due`."""

    index: str
    due: datetime
    entries: int


def expired(client: OpenSearch, settings: Settings, now: datetime | None = None) -> list[Expired]:
    """What retention says must go now. Raises `OpenSearchError`, also where ISM sees to it."""
    if Ism(client).available():
        raise OpenSearchError(
            "this cluster has Index State Management, which deletes by its policy; `whodid retention set` changes that"
        )
    if retention_days(settings.retention) is None:
        return []
    now = now or cluster_now(client)
    dates = {name: deletion_date(settings, name, at) for name, at in creation_dates(client, settings).items()}
    return [
        Expired(name, due, entry_count(client, name))
        for name, due in dates.items()
        if due <= now and _is_ours(client, name)
    ]


def delete(client: OpenSearch, partition: Expired) -> None:
    """Deletes the partition with all its entries; one that is gone already is no error. Raises `OpenSearchError`."""
    with translated(f"deleting {partition.index}"):
        client.indices.delete(index=partition.index, params={"ignore_unavailable": "true"})


def _is_ours(client: OpenSearch, index: str) -> bool:
    with translated(f"the mapping of {index}"):
        mapping = client.indices.get_mapping(index=index)[index]["mappings"]
    return bool(mapping.get("_meta", {}).get("managed_by") == MARK["managed_by"])
