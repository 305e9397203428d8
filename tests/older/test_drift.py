"""What others changed, on OpenSearch 2.19."""

from tests.opensearch.test_drift import *  # noqa: F403
