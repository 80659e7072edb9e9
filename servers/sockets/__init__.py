"""Listening sockets, and the kernel calls that Python has no function for."""
