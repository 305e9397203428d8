"""whodid beside others: `python -m benchmarks`. docs/benchmarks.md says what is measured and why."""
