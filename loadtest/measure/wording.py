"""Words for numbers, as every text for a reader has them."""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 connection", "1,000 connections"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
