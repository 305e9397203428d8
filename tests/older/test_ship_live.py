"""Shipping, on OpenSearch 2.19."""

from tests.shipping.test_ship_live import *  # noqa: F403
