"""The features of a cluster that the index template depends on: its codecs, and what its snapshots can restore."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import OpenSearchError
from .connection import translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["codec", "restores_sorted"]


def codec(client: OpenSearch) -> str:
    """zstd where the cluster has the codecs plugin, else Lucene's own best compression."""
    try:
        with translated("the cluster's plugins"):
            plugins = client.cat.plugins(params={"format": "json"})
    except OpenSearchError:
        return "best_compression"
    has_zstd = any(plugin.get("component") == "opensearch-custom-codecs" for plugin in plugins)
    return "zstd" if has_zstd else "best_compression"


def restores_sorted(client: OpenSearch) -> bool:
    """Whether an index that is sorted can be restored from a snapshot: not on OpenSearch 3.3 and 3.4.

    There the restored shard fails with "can't add field [__nested_parent] as parent document field" (tried on 3.4.0;
    opensearch-project/OpenSearch issue 20073, mended in 3.5.0). A backup that can't be restored is worth more than the
    little that sorting saves. Where the version isn't told, it is taken to work.
    """
    try:
        with translated("the cluster's version"):
            number = str(client.info()["version"]["number"])
    except (OpenSearchError, KeyError, TypeError):
        return True
    found = re.match(r"(\d+)\.(\d+)\.", number)
    return not found or (int(found[1]), int(found[2])) not in {(3, 3), (3, 4)}
