"""Providers of identity verification."""
