"""Bytes in, steps out: no socket, no clock, no lock, no loop, not even through another module."""
