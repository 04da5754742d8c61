"""Telemetry: events, and where they go; metrics and spans."""
