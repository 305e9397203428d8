"""Reading by the command line, on OpenSearch 2.19."""

from tests.cli.test_read import *  # noqa: F403
