"""The query client, on OpenSearch 2.19."""

from tests.search.test_client import *  # noqa: F403
