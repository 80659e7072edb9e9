"""The protocols: bytes in, steps out, without I/O."""
