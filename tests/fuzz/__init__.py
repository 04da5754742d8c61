"""A fuzzer over everything that reads what strangers send: `python -m tests.fuzz`."""
