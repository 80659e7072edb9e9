"""The current Date field line, made once a second (RFC 9110 section 6.6.1)."""

import time

_cached = (0, b"")


def date_line() -> bytes:
    """Return "Date: Tue, 15 Nov 1994 08:12:31 GMT" and CRLF."""
    global _cached
    now_s = int(time.time())
    second, line = _cached  # one tuple, so that no thread sees a second with another's line
    if second != now_s:
        line = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(now_s)).encode()
        _cached = (now_s, line)
    return line
