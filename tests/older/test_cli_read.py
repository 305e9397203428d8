"""Reading by the command line, on OpenSearch 2.19."""

from tests.test_cli_read import *  # noqa: F403
