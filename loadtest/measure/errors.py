"""What can go wrong with a request, each kind with a name that results carry."""

import errno
import os

_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
_STATUSES_FOR_NOW = {408, 425, 429, 502, 503, 504}
"""Request Timeout, Too Early (RFC 8470), Too Many Requests (RFC 6585), Bad Gateway, Service
Unavailable, Gateway Timeout (RFC 9110 section 15): the server may well answer the next try."""


class ReplyError(Exception):
    """A request went wrong; the subclass says how, and its connection is of no more use.

    Attributes:
        final: Whether the same request would go wrong the same way again.
    """

    final: bool = False


class RefusedError(ReplyError):
    """Nobody listens there."""


class NotConnectedError(ReplyError):
    """No connection came about: an unknown host, or no way to it."""


class OwnLimitError(ReplyError):
    """This side had no descriptor, port or memory left."""


class TimedOutError(ReplyError):
    """The server was silent for too long."""


class UnfinishedError(ReplyError):
    """A reply had begun, and did not come to its end in the time there was."""


class ResetError(ReplyError):
    """The server broke the connection off."""


class TruncatedError(ReplyError):
    """The server stopped sending before the reply was complete."""


class LeftOverError(ReplyError):
    """More came than the reply that was asked for."""

    final = True


class WrongHeadError(ReplyError):
    """The reply does not begin as HTTP/1.1 says, or says in a wrong way where it ends."""

    final = True


class WrongStatusError(ReplyError):
    """The reply has another status than the scenario expects: 200, if it does not say."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.final = status not in _STATUSES_FOR_NOW


class WrongContentError(ReplyError):
    """The reply has the right form and the wrong bytes."""

    final = True


class ScenarioError(ReplyError):
    """The scenario itself is wrong: it could not say what to ask."""

    final = True


def named(number: int) -> OSError:
    """Return the exception of the kind that an error number stands for."""
    return OSError(number, os.strerror(number))


def more_telling(before: OSError | None, after: OSError) -> OSError:
    """Return which of two failures says more about why no address of a server could be reached.

    One at this side's own limit: the others are not known then. Else a refusal: there is a way.
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
    """Return the error of that name for what the kernel says."""
    if isinstance(error, ConnectionRefusedError):  # the address may be right, but nobody is there
        return RefusedError(f"nobody listens there: {error.strerror}")
    if isinstance(error, TimeoutError):  # the socket's own, or the kernel's while connecting
        return TimedOutError("the server was silent for too long")
    if error.errno in _OWN_LIMITS:
        return OwnLimitError(f"this side is at its own limit: {error}")
    # A reset, or, before there is a connection, whatever prevented it.
    return (NotConnectedError if connecting else ResetError)(str(error))
