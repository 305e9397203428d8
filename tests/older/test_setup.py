"""What setup makes, on OpenSearch 2.19."""

from tests.opensearch.test_setup import *  # noqa: F403
