"""Listening sockets for a host name: on all its addresses, on one port, for each process."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from servers import limits
from servers.sockets.kernel import set_receive_timeout, set_send_timeout
from servers.sockets.listeners import OPTIONS, Timeouts

_ALL = "0.0.0.0", "::"  # noqa: S104 - compared with, not bound to
"""The wildcard addresses: each covers all addresses of its family (ip(7), ipv6(7))."""

_LOOPBACK = {int(socket.AF_INET): "127.0.0.1", int(socket.AF_INET6): "::1"}


class Address(NamedTuple):
    """One of a name's addresses.

    Attributes:
        family: The kernel's number of the address family.
        host: The numeric address.
        more: For IPv6, the flow and the scope.
    """

    family: int
    host: str
    more: tuple[int, ...]


class ListenError(Exception):
    """A server cannot listen on a name.

    Attributes:
        why: The reason, in a few words.
        way_out: How to run the server instead; "": on another address or port.
    """

    def __init__(self, why: str, way_out: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.way_out = way_out


def resolve(name: str) -> list[Address]:
    """Return the addresses of a name, each once, in the order of the resolver (RFC 6724).

    A wildcard address replaces all others of its family: no socket could listen on those as well.

    Raises:
        ListenError: The name has no address.
    """
    try:
        resolved = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # from Python's IDNA codec: no valid host name
        raise ListenError("Name or service not known") from error
    except OSError as error:  # no such name, or the resolver cannot be reached
        raise ListenError(error.strerror or str(error)) from error
    addresses = []
    for family, _, _, _, (host, _, *more) in resolved:
        address = Address(int(family), str(host), tuple(map(int, more)))
        if address not in addresses:  # /etc/hosts may list an address twice
            addresses.append(address)
    covered = {address.family for address in addresses if address.host in _ALL}
    return [each for each in addresses if each.host in _ALL or each.family not in covered]


def listen(
    addresses: Sequence[Address], port: int, backlog: int, timeouts: Timeouts, count: int = 1
) -> list[list[socket.socket]]:
    """Return the listening sockets of each process: ``count`` lists of one socket for each address.

    Every option that accepted sockets inherit is set. For several processes, the kernel spreads
    clients over their sockets (SO_REUSEPORT, socket(7)). An address whose family is disabled on
    this machine is skipped, unless no other is left.

    Args:
        addresses: From ``resolve``.
        port: 0 picks a port that is free on all addresses.
        backlog: Length of each accept queue.
        timeouts: For the accepted sockets.
        count: Number of processes.

    Raises:
        ListenError: The server cannot listen on an address.
    """
    for _ in range(limits.PORT_TRIES):
        disabled: ListenError | None = None
        with ExitStack() as opened:  # closed, unless all sockets listen
            socks: list[list[socket.socket]] = []
            for address in addresses:
                chosen: int = socks[0][0].getsockname()[1] if socks else port
                try:
                    alone = len(addresses) == 1
                    socks.append(
                        _listen_at(address, chosen, backlog, timeouts, count, opened, alone)
                    )
                except OSError as error:  # in use, not local, or the machine is at a limit
                    why = error.strerror or str(error)
                    failure = ListenError(f"{address.host}: {why}" if len(addresses) > 1 else why)
                    if _is_disabled(address, error):
                        disabled = disabled or failure
                    elif error.errno == errno.EADDRINUSE and chosen != port:
                        break  # the port is free on the first address, but not on this one
                    else:
                        raise failure from error
            else:
                if not socks and disabled:
                    raise disabled
                opened.pop_all()
                return [list(each) for each in zip(*socks, strict=True)]
    raise ListenError(f"no port is free on all addresses, {limits.PORT_TRIES} tried")


def _listen_at(
    address: Address,
    port: int,
    backlog: int,
    timeouts: Timeouts,
    count: int,
    opened: ExitStack,
    alone: bool,
) -> list[socket.socket]:
    """Return ``count`` sockets that listen on one address; ``opened`` closes them after a failure.

    Args:
        alone: The server has no other address; "::" then serves IPv4, too, by the kernel's default.
    """
    only_ipv6 = address.family == socket.AF_INET6 and not alone
    socks: list[socket.socket] = []
    for _ in range(count):
        sock = opened.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        socks.append(sock)
        with suppress(OSError):  # without it, a restart may fail: Address already in use
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if only_ipv6:
            with suppress(OSError):  # without it, "::" serves IPv4, too
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_options(sock, timeouts)
        # The first socket shares its port only once it listens: so it fails on a port that another
        # server uses, even if that server shares.
        if len(socks) > 1:
            _share(sock)
        sock.bind((address.host, port, *address.more))
        sock.listen(backlog)
        sock.setblocking(False)
        if len(socks) == 1 < count:
            _share(sock)
            port = sock.getsockname()[1]  # the kernel's choice, if port was 0
    return socks


def _set_options(sock: socket.socket, timeouts: Timeouts) -> None:
    """Set the options that make servers comparable and keep deadlines; a server needs them all."""
    for name, (level, option, value) in OPTIONS.items():
        if value:
            with _needed(name):
                sock.setsockopt(level, option, value)
    # A blocking recv() or send() ends after this time: a deadline without a system call. Set before
    # a client can connect: accepted sockets inherit it, and without it one could block for ever.
    with _needed("SO_RCVTIMEO"):
        set_receive_timeout(sock, timeouts.idle_s)
    with _needed("SO_SNDTIMEO"):
        set_send_timeout(sock, timeouts.write_s)


def _share(sock: socket.socket) -> None:
    """Let the sockets of the other processes listen on the same port."""
    with _needed("SO_REUSEPORT", "with --workers 1"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


@contextmanager
def _needed(option: str, way_out: str = "on a kernel that has it") -> Iterator[None]:
    """Turn the kernel's refusal of an option into a ListenError that names the option."""
    try:
        yield
    except OSError as error:  # the kernel lacks the option, or a sandbox forbids it
        raise ListenError(f"the kernel refuses {option}: {error.strerror}", way_out) from error


def _is_disabled(address: Address, error: OSError) -> bool:
    """Return whether the machine has the family disabled: even its loopback address fails."""
    if error.errno == errno.EAFNOSUPPORT:
        return True
    if error.errno != errno.EADDRNOTAVAIL:  # the errno of a family disabled after boot
        return False
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as sock:
            sock.bind((_LOOPBACK[address.family], 0))
    except OSError:  # not even loopback
        return True
    return False
