"""Enforcement, on OpenSearch 2.19."""

from tests.opensearch.test_enforcement import *  # noqa: F403
