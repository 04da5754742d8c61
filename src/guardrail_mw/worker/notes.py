"""The names that background work keeps its notes under in the store (`Graph.keep`)."""

from guardrail_mw.clusters.state import BINDING, ORDERS, SPLITS, STATE

__all__ = ["BINDING", "ORDERS", "SPLITS", "STATE"]
