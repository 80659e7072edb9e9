"""The current Date field line, rendered once a second (RFC 9110 section 6.6.1)."""

import time

_cached = (0.0, 0.0, b"")


def date_line() -> bytes:
    """Return "Date: Tue, 15 Nov 1994 08:12:31 GMT" and CRLF."""
    global _cached
    now_s = time.time()
    from_s, to_s, line = _cached  # one tuple, so that no thread reads a time with another line
    if not from_s <= now_s < to_s:
        second = int(now_s)
        line = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()
        _cached = (float(second), second + 1.0, line)
    return line
