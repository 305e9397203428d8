"""The features of a cluster that template and policy depend on: codecs, versions, repositories of snapshots.

A question that this user may not ask is never answered by the default that could cost something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import OpenSearchError, OpenSearchUnavailable
from .connection import translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["check_repository", "codec", "restores_sorted", "versions"]


def codec(client: OpenSearch) -> str:
    """zstd where the cluster has the codecs plugin, else Lucene's own best compression."""
    try:
        with translated("the cluster's plugins"):
            plugins = client.cat.plugins(params={"format": "json"})
    except OpenSearchError:
        return "best_compression"
    has_zstd = any(plugin.get("component") == "opensearch-custom-codecs" for plugin in plugins)
    return "zstd" if has_zstd else "best_compression"


def versions(client: OpenSearch) -> frozenset[str]:
    """The versions of the cluster's nodes; empty where nobody says. Raises `OpenSearchUnavailable`.

    An account of the role `whodid_admin` may not ask for the cluster's version, and may ask for those of its nodes.
    """
    nodes = "/_nodes?filter_path=nodes.*.version"
    found = _asked(client, nodes, lambda answer: {str(node["version"]) for node in answer["nodes"].values()})
    return found or _asked(client, "/", lambda answer: {str(answer["version"]["number"])})


def _asked(client: OpenSearch, path: str, read: Callable[[Any], set[str]]) -> frozenset[str]:
    """Empty where the cluster refuses, has no such request, or answers something else."""
    try:
        with translated("the cluster's version"):
            return frozenset(read(client.transport.perform_request("GET", path)))
    except OpenSearchUnavailable:
        raise
    except (OpenSearchError, KeyError, TypeError, AttributeError):
        return frozenset()


def restores_sorted(client: OpenSearch) -> bool:
    """Whether an index that is sorted can be restored from a snapshot: not on OpenSearch 3.3 and 3.4.

    There the restored shard fails with "can't add field [__nested_parent] as parent document field" (tried on 3.4.0;
    opensearch-project/OpenSearch issue 20073, fixed in 3.5.0). A backup that can't be restored is worth more than the
    little that sorting saves. So it is where nobody says which version this is, and while any node is of one of these.
    """
    found = [re.match(r"(\d+)\.(\d+)\.", number) for number in versions(client)]
    numbers = [(int(one[1]), int(one[2])) for one in found if one]
    return bool(numbers) and not {(3, 3), (3, 4)}.intersection(numbers)


def check_repository(client: OpenSearch, name: str) -> None:
    """Raises `OpenSearchError` where there is no such repository: what must be kept there would never be deleted."""
    from opensearchpy import NotFoundError

    if not name:
        return
    with translated(f"the snapshot repository {name}"):
        try:
            client.snapshot.get_repository(repository=name)
        except NotFoundError as error:
            raise OpenSearchError(
                f"the cluster has no snapshot repository {name!r}: partitions are kept there before they are deleted, "
                "and without it none ever is. Register it, or change snapshot_repository"
            ) from error
