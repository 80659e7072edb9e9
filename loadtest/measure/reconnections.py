"""What was done anew, as it is said in tables and reports: it is no error, and yet to be seen."""


def reconnect_notes(reconnects: int, retries: int) -> list[str]:
    """Return what is to be said of connections made anew, and of requests sent again."""
    said = []
    if reconnects:
        said.append(f"connected anew {reconnects:,} times, as the server closed")
    if retries:
        said.append(f"sent again {retries:,}, broken off before any byte of a reply")
    return said
