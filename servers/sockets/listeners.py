"""A listener, and every socket option: set once, and the same for every model.

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
"""Protocol -> its listening sockets, one for each address; the ready line names the first."""


class Timeouts(NamedTuple):
    """How long a client may take, in seconds.

    Attributes:
        idle_s: To stay silent, with no request begun and with no reply left to receive.
        header_s: To send a head, from its first byte.
        body_s: To send a body, from the end of its head.
        write_s: To receive STREAM_BYTES of a reply, or its rest; then it has as long for the next.
    """

    idle_s: float
    header_s: float
    body_s: float
    write_s: float


@dataclass(frozen=True, eq=False)
class Listener:
    """A listening socket and the protocol of its clients.

    Attributes:
        protocol: "http" or "echo".
        index: The protocol's place in the counters.
        sock: Listens, and never blocks in accept().
        backlog: The requested length of its queue, in clients.
        kind: Its family, type and protocol number, as the kernel numbers them.
        connect: Returns the connection that a newly accepted client gets.
        timeouts: How long a client may take.
        refusal: Returns the reply to a refused client, from the first bytes that it has sent; b""
            where the protocol has none.
        full_because: The log line of a server at --max-connections; "" where that is not set.
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
"""The listeners whose clients a model serves."""


def kind_of(sock: socket.socket) -> tuple[int, int, int]:
    """Return family, type and protocol number, from which a socket object is made."""
    return int(sock.family), int(sock.type), sock.proto


def read_back(sock: socket.socket) -> dict[str, int]:
    """Return a listener's options and backlog as the kernel has them, where it reports them."""
    values = {}
    for name, (level, option, _) in OPTIONS.items():
        with suppress(OSError):  # it was set, but cannot be read
            values[name] = sock.getsockopt(level, option)
    # In a listener's struct tcp_info, tcpi_sacked is the longest that its queue may be.
    info = tcp_info(sock, 32)
    if len(info) == 32 and (backlog := struct.unpack_from("=I", info, 28)[0]):
        values["backlog"] = backlog  # 0: a kernel that fills in less of it
    return values


def waits(sock: socket.socket) -> bool:
    """Return whether a client waits to be accepted."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def address_of(sock: socket.socket) -> str:
    """Return "host:port", with brackets around an IPv6 host."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
