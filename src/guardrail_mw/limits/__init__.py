"""Limits: what a policy may say of them, and what a request is charged on each."""
