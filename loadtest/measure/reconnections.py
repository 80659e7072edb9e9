"""Reconnections and retries, as tables and reports show them: no errors, but worth knowing."""


def reconnect_notes(reconnects: int, retries: int) -> list[str]:
    """Return notes on connections that were made again, and on requests that were sent again."""
    notes = []
    if reconnects:
        notes.append(f"{reconnects:,} reconnections, as the server closed")
    if retries:
        notes.append(f"{retries:,} requests sent again, broken off before any byte of a reply")
    return notes
