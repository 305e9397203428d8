"""OpenSearch as such: connection, bulk requests, the index template, partitions, and the ledger."""
