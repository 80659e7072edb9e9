"""The listening sockets, and every socket option, set once and the same for every model.

Linux hands a listener's options down to the sockets it accepts, so they are set here and
nowhere else.
"""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from servers import limits
from servers.connection import Connection, Tally
from servers.deadlines import Timeouts
from servers.kernel import set_receive_timeout, set_send_timeout

OPTIONS: dict[str, tuple[int, int, int]] = {
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "SO_SNDBUF": (socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SEND_BUFFER_BYTES),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF, limits.RECEIVE_BUFFER_BYTES),
}
"""Name -> level, option, value; 0 leaves what the kernel gives."""


@dataclass(frozen=True)
class Listener:
    """A listening socket and what is spoken on it.

    Attributes:
        protocol: "http" or "echo".
        index: The protocol's place in the counters.
        sock: Listens, and never blocks in accept().
        kind: Its family, type and protocol number, as the kernel numbers them.
        connect: Returns the connection that a newly accepted client gets.
        timeouts: How long a client may take.
        refusal: What a client is told when nobody can serve it; b"" where there are no words.
        full_because: Why no more clients are taken, if that was asked for; "" if not.
    """

    protocol: str
    index: int
    sock: socket.socket
    kind: tuple[int, int, int]
    connect: Callable[[Tally], Connection]
    timeouts: Timeouts
    refusal: bytes
    full_because: str


def listen(
    host: str, port: int, backlog: int, timeouts: Timeouts, count: int = 1
) -> list[socket.socket]:
    """Return sockets that are listening, with every option set that their clients inherit.

    Where there are several, the kernel spreads clients over them (SO_REUSEPORT, socket(7)).

    Raises:
        OSError: The address cannot be resolved, or cannot be bound.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # what Python makes of a name that cannot be one
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from error
    family, kind, proto, _, address = found[0]
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket(family, kind, proto)
            socks.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for level, option, value in OPTIONS.values():
                if value:
                    sock.setsockopt(level, option, value)
            # What really blocks in recv() or send() ends after this time: a deadline without a
            # system call. Set before there can be a client: else one would wait for ever.
            set_receive_timeout(sock, timeouts.idle_s)
            set_send_timeout(sock, timeouts.write_s)
            # The first one listens before it says that it would share: so that a port is in use
            # for this server though another one, which would share, listens there.
            if len(socks) > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            sock.listen(backlog)
            sock.setblocking(False)
            if len(socks) == 1 < count:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                address = sock.getsockname()  # its port, where a free one was asked for
    except OSError:  # the caller says which address; the descriptors are ours to give back
        for sock in socks:
            sock.close()
        raise
    return socks


def kind_of(sock: socket.socket) -> tuple[int, int, int]:
    """Return what it takes to make a socket object of the same kind."""
    return int(sock.family), int(sock.type), sock.proto


def read_back(sock: socket.socket) -> dict[str, int]:
    """Return what the kernel says of a listener's options and of its backlog."""
    values = {name: sock.getsockopt(level, option) for name, (level, option, _) in OPTIONS.items()}
    # struct tcp_info of a listener: tcpi_sacked holds the length its queue may reach.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    values["backlog"] = struct.unpack_from("=I", info, 28)[0]
    return values


def queued(sock: socket.socket) -> int:
    """Return how many clients wait at a listener to be accepted."""
    # struct tcp_info of a listener: tcpi_unacked.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (count,) = struct.unpack_from("=I", info, 24)
    return int(count)


def address_of(sock: socket.socket) -> str:
    """Return "host:port", with brackets around an IPv6 host."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
