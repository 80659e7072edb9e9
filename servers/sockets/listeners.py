"""What a listener is, and every socket option, set once and the same for every model.

Linux hands a listener's options down to the sockets it accepts, so they are set here and
nowhere else.
"""

import select
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from servers import limits
from servers.protocol.connection import Connection, Tally
from servers.sockets.kernel import tcp_info

OPTIONS: dict[str, tuple[int, int, int]] = {
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "SO_SNDBUF": (socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SEND_BUFFER_BYTES),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF, limits.RECEIVE_BUFFER_BYTES),
}
"""Name -> level, option, value; 0 leaves what the kernel gives."""

Socks = Mapping[str, Sequence[socket.socket]]
"""Protocol -> its listening sockets, one for each address; the first is the one to tell of."""


class Timeouts(NamedTuple):
    """How long a client may take, in seconds.

    Attributes:
        idle_s: In silence, before a request has begun, and while nothing of ours is to be taken.
        header_s: For a head, from its first byte.
        body_s: For a body, from the end of its head.
        write_s: To take STREAM_BYTES of ours, or what is left; then it has as long for the next.
    """

    idle_s: float
    header_s: float
    body_s: float
    write_s: float


@dataclass(frozen=True, eq=False)
class Listener:
    """A listening socket and what is spoken on it.

    Attributes:
        protocol: "http" or "echo".
        index: The protocol's place in the counters.
        sock: Listens, and never blocks in accept().
        backlog: How many clients its queue was asked to hold.
        kind: Its family, type and protocol number, as the kernel numbers them.
        connect: Returns the connection that a newly accepted client gets.
        timeouts: How long a client may take.
        refusal: Returns what a client is told that cannot be served, from the first bytes it has
            sent; b"" where the protocol has no words.
        full_because: Why no more clients are taken, if that was asked for; "" if not.
    """

    protocol: str
    index: int
    sock: socket.socket
    backlog: int
    kind: tuple[int, int, int]
    connect: Callable[[Tally], Connection]
    timeouts: Timeouts
    refusal: Callable[[bytes], bytes]
    full_because: str


Listeners = Sequence[Listener]
"""What a model serves."""


def kind_of(sock: socket.socket) -> tuple[int, int, int]:
    """Return what it takes to make a socket object of the same kind."""
    return int(sock.family), int(sock.type), sock.proto


def read_back(sock: socket.socket) -> dict[str, int]:
    """Return what the kernel says of a listener's options and backlog, as far as it says it."""
    values = {}
    for name, (level, option, _) in OPTIONS.items():
        with suppress(OSError):  # it was set, but cannot be asked for
            values[name] = sock.getsockopt(level, option)
    # struct tcp_info of a listener: tcpi_sacked holds the length its queue may reach.
    info = tcp_info(sock, 32)
    if len(info) == 32 and (backlog := struct.unpack_from("=I", info, 28)[0]):
        values["backlog"] = backlog  # 0: a kernel that fills in less of it
    return values


def waits(sock: socket.socket) -> bool:
    """Return whether a client waits at a listener to be accepted."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def address_of(sock: socket.socket) -> str:
    """Return "host:port", with brackets around an IPv6 host."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
