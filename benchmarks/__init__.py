"""What guardrail_mw costs, beside what its peers cost. Run from the repository's root: `python -m benchmarks.middleware`."""
