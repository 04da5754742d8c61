"""Risk: scorers, what they find, and how findings become one figure."""
