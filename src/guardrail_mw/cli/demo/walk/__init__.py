"""The walk through it all: a campaign and an office, side by side, for an hour that takes a minute."""
