"""Retention: how long entries are kept, what deletes them, and what holds protect."""
