"""The tab, on OpenSearch 2.19."""

from tests.web.test_tab_live import *  # noqa: F403
