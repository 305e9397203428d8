"""Shipping, on OpenSearch 2.19."""

from tests.shipper.test_ship_live import *  # noqa: F403
