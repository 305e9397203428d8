"""Proofs: trees, keys, envelopes."""
