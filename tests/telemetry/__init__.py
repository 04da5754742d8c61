"""Tests of telemetry, which share `kit`."""
