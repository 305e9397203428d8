"""What these tests share with those of OpenSearch: the stand-in for a cluster with ISM."""

from __future__ import annotations

from tests.opensearch.conftest import cluster

__all__ = ["cluster"]
