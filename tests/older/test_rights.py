"""Rights, on OpenSearch 2.19."""

from tests.live.test_rights import *  # noqa: F403
