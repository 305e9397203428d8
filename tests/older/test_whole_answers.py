"""Whole answers, on OpenSearch 2.19."""

from tests.live.test_whole_answers import *  # noqa: F403
