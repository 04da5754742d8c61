"""Tests of friction; a package, so that they can share `kit`."""
