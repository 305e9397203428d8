"""whodid beside others: `python -m benchmarks`. docs/explanation/benchmarks.md says what is measured and why."""
