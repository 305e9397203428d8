"""The OpenSearch side: connection, bulk, index template, ISM policy, setup, retention. `Any` stops in here."""
