"""From a name to sockets that listen: on all its addresses, on the same port, for each process."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from servers import limits
from servers.sockets.kernel import set_receive_timeout, set_send_timeout
from servers.sockets.listeners import OPTIONS, Timeouts

_ALL = "0.0.0.0", "::"  # noqa: S104 - as a name may have it
"""What stands for all addresses of its family (ip(7), ipv6(7))."""

_LOOPBACK = {int(socket.AF_INET): "127.0.0.1", int(socket.AF_INET6): "::1"}


class Address(NamedTuple):
    """One of a name's addresses.

    Attributes:
        family: As the kernel numbers them.
        host: In digits.
        more: What an IPv6 address has besides: its flow and its scope.
    """

    family: int
    host: str
    more: tuple[int, ...]


class ListenError(Exception):
    """Why a name cannot be listened on.

    Attributes:
        why: In a few words.
        way_out: How to run it instead; "": on another address or port.
    """

    def __init__(self, why: str, way_out: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.way_out = way_out


def resolve(name: str) -> list[Address]:
    """Return the addresses of a name, each once, in the order of the resolver (RFC 6724).

    One that stands for all of its family covers those, and no other can listen beside it.

    Raises:
        ListenError: It has none.
    """
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # what Python makes of a name that cannot be one
        raise ListenError("Name or service not known") from error
    except OSError as error:  # no such name, or nobody to ask
        raise ListenError(error.strerror or str(error)) from error
    addresses = []
    for family, _, _, _, (host, _, *more) in found:
        address = Address(int(family), str(host), tuple(map(int, more)))
        if address not in addresses:  # /etc/hosts may name one twice
            addresses.append(address)
    covered = {address.family for address in addresses if address.host in _ALL}
    return [each for each in addresses if each.host in _ALL or each.family not in covered]


def listen(
    addresses: Sequence[Address], port: int, backlog: int, timeouts: Timeouts, count: int = 1
) -> list[list[socket.socket]]:
    """Return, for each of so many processes, its sockets that are listening: one for each address.

    They have every option set that their clients inherit. Where there are several processes, the
    kernel spreads clients over them (SO_REUSEPORT, socket(7)). An address whose family is switched
    off on this machine is left out, unless none is left.

    Args:
        port: 0 picks one that is free on all addresses.

    Raises:
        ListenError: An address cannot be listened on.
    """
    for _ in range(limits.PORT_TRIES):
        off: ListenError | None = None
        with ExitStack() as opened:  # given back, unless all goes well
            socks: list[list[socket.socket]] = []
            for address in addresses:
                chosen: int = socks[0][0].getsockname()[1] if socks else port
                try:
                    alone = len(addresses) == 1
                    socks.append(
                        _listen_at(address, chosen, backlog, timeouts, count, opened, alone)
                    )
                except OSError as error:  # of this address, or of the machine
                    why = error.strerror or str(error)
                    failure = ListenError(f"{address.host}: {why}" if len(addresses) > 1 else why)
                    if _switched_off(address, error):
                        off = off or failure
                    elif error.errno == errno.EADDRINUSE and chosen != port:
                        break  # free on the first address, but not on this one
                    else:
                        raise failure from error
            else:
                if not socks and off:
                    raise off
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
    """Return so many sockets that are listening on one address; all are in ``opened`` at once.

    Args:
        alone: No other address is listened on: "::" then serves IPv4, too, as the kernel has it.
    """
    only_ipv6 = address.family == socket.AF_INET6 and not alone
    socks: list[socket.socket] = []
    for _ in range(count):
        sock = opened.enter_context(socket.socket(address.family, socket.SOCK_STREAM))
        socks.append(sock)
        with suppress(OSError):  # without: not yet after a restart, and that is said then
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if only_ipv6:
            with suppress(OSError):  # without: on "::" it serves IPv4, too
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_options(sock, timeouts)
        # The first one listens before it says that it would share: so that a port is in use
        # for this server though another one, which would share, listens there.
        if len(socks) > 1:
            _share(sock)
        sock.bind((address.host, port, *address.more))
        sock.listen(backlog)
        sock.setblocking(False)
        if len(socks) == 1 < count:
            _share(sock)
            port = sock.getsockname()[1]  # where a free one was asked for
    return socks


def _set_options(sock: socket.socket, timeouts: Timeouts) -> None:
    """Set what makes two servers comparable, and what keeps deadlines: a server needs them all."""
    for name, (level, option, value) in OPTIONS.items():
        if value:
            with _needed(name):
                sock.setsockopt(level, option, value)
    # What really blocks in recv() or send() ends after this time: a deadline without a
    # system call. Set before there can be a client: else one would wait for ever.
    with _needed("SO_RCVTIMEO"):
        set_receive_timeout(sock, timeouts.idle_s)
    with _needed("SO_SNDTIMEO"):
        set_send_timeout(sock, timeouts.write_s)


def _share(sock: socket.socket) -> None:
    """Let the other processes' sockets listen on the same port."""
    with _needed("SO_REUSEPORT", "with --workers 1"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


@contextmanager
def _needed(option: str, way_out: str = "on a kernel that has it") -> Iterator[None]:
    """Say which option the kernel refuses, if it does: another address would not help."""
    try:
        yield
    except OSError as error:  # a kernel without it, or somebody forbids it
        raise ListenError(f"the kernel refuses {option}: {error.strerror}", way_out) from error


def _switched_off(address: Address, error: OSError) -> bool:
    """Say whether it failed since the machine has no such family: not even its loopback address."""
    if error.errno == errno.EAFNOSUPPORT:
        return True
    if error.errno != errno.EADDRNOTAVAIL:  # what a family that was switched off later says
        return False
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as sock:
            sock.bind((_LOOPBACK[address.family], 0))
    except OSError:  # it is
        return True
    return False
