"""Non-blocking connections; where a source address has no port left, from another one."""

import _socket  # the socket beneath Python's and gevent's: 1 µs less for each call
import errno
import socket

from loadtest.client.address import SockAddr
from loadtest.measure.errors import named

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen when the destination is known
_LOOPBACK_SOURCES = 250


class SourceAddresses:
    """Source addresses: the kernel's choice first, and on loopback others after it."""

    def __init__(self) -> None:
        self._number = 0

    def connect(self, family: int, sockaddr: SockAddr) -> _socket.socket:
        """Return a socket that connects; it becomes writable when that has ended.

        One address has 28,232 ports towards one server; on loopback there is all of 127.0.0.0/8.

        Raises:
            OSError: No attempt is possible.
        """
        tries = _LOOPBACK_SOURCES if sockaddr[0].startswith("127.") else 1
        while True:
            sock = _socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
            if self._number:
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.0.0.{self._number + 1}", 0))
            outcome = sock.connect_ex(sockaddr)
            if outcome in (0, errno.EINPROGRESS):
                return sock
            sock.close()
            tries -= 1
            if outcome != errno.EADDRNOTAVAIL or not tries:
                raise named(outcome)
            self._number = (self._number + 1) % _LOOPBACK_SOURCES
