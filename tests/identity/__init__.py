"""Tests of identity; a package, so that they can share `kit`."""
