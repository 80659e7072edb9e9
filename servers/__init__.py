"""The same small network service, served by interchangeable concurrency models."""

__version__ = "0.1.0"
