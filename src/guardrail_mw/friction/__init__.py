"""Friction: which rung a risk reaches, and what each rung does."""
