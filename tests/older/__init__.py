"""The tests that matter most for another OpenSearch, run once more on 2.19: each module takes those of another."""
