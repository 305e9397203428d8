"""Recording: from a call of `audit()` to the entry in the journal: who and from where, masking, the check."""
