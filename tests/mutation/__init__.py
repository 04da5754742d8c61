"""Mutation testing of the packages that decide: `python -m tests.mutation`."""
