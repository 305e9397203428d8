"""Verification, on OpenSearch 2.19."""

from tests.test_verify import *  # noqa: F403
