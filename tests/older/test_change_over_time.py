"""Years with one cluster, on OpenSearch 2.19."""

from tests.live.test_change_over_time import *  # noqa: F403
