"""Counts of connections and requests, their tables, and /metrics."""
