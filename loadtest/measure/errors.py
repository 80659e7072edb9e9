"""What can go wrong with a request: each kind is an exception, and results have its name."""

import errno
import os

_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
_STATUSES_FOR_NOW = {408, 425, 429, 502, 503, 504}
"""Request Timeout, Too Early (RFC 8470), Too Many Requests (RFC 6585), Bad Gateway, Service
Unavailable, Gateway Timeout (RFC 9110 section 15): the next try may well get a right reply."""


class ReplyError(Exception):
    """A request went wrong; the subclass says how. Its connection cannot be used any more.

    Attributes:
        final: Whether the same request would go wrong the same way again.
    """

    final: bool = False


class RefusedError(ReplyError):
    """No server listens there."""


class NotConnectedError(ReplyError):
    """No connection: the host is unknown, or there is no route to it."""


class OwnLimitError(ReplyError):
    """The generator had no descriptor, port or memory left."""


class TimedOutError(ReplyError):
    """The server was silent for too long."""


class UnfinishedError(ReplyError):
    """A reply began, and was not complete in time."""


class ResetError(ReplyError):
    """The server reset the connection."""


class TruncatedError(ReplyError):
    """The server closed the connection before the reply was complete."""


class LeftOverError(ReplyError):
    """More bytes came than those of the reply."""

    final = True


class WrongHeadError(ReplyError):
    """The head of the reply is not HTTP/1.1, or frames its content wrongly."""

    final = True


class WrongStatusError(ReplyError):
    """The reply has another status than the scenario expects (200 by default)."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.final = status not in _STATUSES_FOR_NOW


class WrongContentError(ReplyError):
    """The reply has the right form and the wrong bytes."""

    final = True


class ScenarioError(ReplyError):
    """The scenario has a bug: it raised an exception instead of making a request."""

    final = True


def named(number: int) -> OSError:
    """Return the exception for an error number."""
    return OSError(number, os.strerror(number))


def more_telling(before: OSError | None, after: OSError) -> OSError:
    """Return the failure that explains better why no address of a server could be reached.

    First the generator's own limit, since the other addresses stay unknown then; next a refusal,
    which shows that there is a route.
    """
    if before is None or before.errno in _OWN_LIMITS:
        return before or after
    refused = isinstance(before, ConnectionRefusedError)
    return before if refused and after.errno not in _OWN_LIMITS else after


def silence(text: str, begun_bytes: int, complete: bool) -> ReplyError:
    """Return the error of a silent server.

    Args:
        text: How long it was silent.
        begun_bytes: What had come of its reply; 0: nothing.
        complete: Whether that was all of it, and only the connection did not end.
    """
    if not begun_bytes:
        return TimedOutError(text)
    whole = "a whole reply, whose connection did not end" if complete else "a reply"
    return UnfinishedError(f"{text}, after {begun_bytes:,} bytes of {whole}")


def of_the_kernel(error: OSError, connecting: bool) -> ReplyError:
    """Return the error for what the kernel reports."""
    if isinstance(error, ConnectionRefusedError):  # the host answers, but the port is closed
        return RefusedError(f"no server listens there: {error.strerror}")
    if isinstance(error, TimeoutError):  # the socket's own, or the kernel's while connecting
        return TimedOutError("the server was silent for too long")
    if error.errno in _OWN_LIMITS:
        return OwnLimitError(f"the generator is at its own limit: {error}")
    # A reset, or, before there is a connection, whatever prevented it.
    return (NotConnectedError if connecting else ResetError)(str(error))
