"""Proof of the log: lets anyone check it who trusts neither the host that wrote it nor the cluster that stores it.

`merkle` has the tree over the hashes of entries, `keys` the signatures and envelopes, `checkpoint` the signed
checkpoints, and `witness` the places outside host and cluster that store them.
"""
