"""The proof: what lets somebody check a log who trusts neither the host that wrote it nor the cluster that keeps it.

`merkle` is the tree over the hashes of entries, `keys` who signs, `envelope` how a signed statement is written down.
"""
