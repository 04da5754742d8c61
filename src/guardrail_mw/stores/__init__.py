"""Where counters, leases and standings live: one contract, several places."""
