"""Recording: turns a call of `audit()` into an entry in the journal."""
