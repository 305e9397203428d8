"""The cluster's clock, by which partitions are made and deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import OpenSearchError
from .connection import translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["clock_ahead", "cluster_now"]


def clock_ahead(client: OpenSearch) -> timedelta:
    """How far the cluster's clock is ahead of ours, to the second. Raises `OpenSearchError`."""
    with translated("the cluster's clock"):
        answer = client.cat.health(params={"format": "json", "h": "epoch"})
    try:
        return datetime.fromtimestamp(int(answer[0]["epoch"]), UTC) - datetime.now(UTC)
    except (LookupError, ValueError, TypeError) as error:
        raise OpenSearchError(f"the cluster's clock: this is no answer of OpenSearch: {answer!r}"[:300]) from error


def cluster_now(client: OpenSearch) -> datetime:
    """The cluster's time, or ours where this user may not ask."""
    try:
        ahead = clock_ahead(client)
    except OpenSearchError:
        ahead = timedelta(0)
    return datetime.now(UTC) + ahead
