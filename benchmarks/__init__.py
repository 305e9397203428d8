"""What a call costs, beside plain logging: `python -m benchmarks`. docs/benchmarks.md says what is measured and why."""
