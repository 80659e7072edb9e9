"""A non-blocking connection that an engine watches: it takes all that is to be sent, at once."""

import _socket
import select
import socket
from collections.abc import Callable

from loadtest.address import Address, resolve
from loadtest.engine import Driven, Engine
from loadtest.errors import named
from loadtest.sources import Sources

_sources = Sources()


class Pipe:
    """A connection to one address, made and ended as often as it takes.

    Every method but ``close`` raises OSError for whatever becomes of the connection.

    Args:
        engine: Watches it.
        driven: Called when there is something to do.
        address: Of the server; looked up here and now, which may take a while.

    Attributes:
        is_open: Whether there is a connection, or one is being made.
        connecting: Whether one is being made.
        recv: Of the socket: takes a number of bytes, returns that many or fewer.
    """

    __slots__ = (
        "_address", "_driven", "_engine", "_fd", "_send", "_sock", "_unsent", "connecting",
        "is_open", "recv",
    )  # fmt: skip

    def __init__(self, engine: Engine, driven: Driven, address: Address) -> None:
        self._engine, self._driven = engine, driven
        self._address: tuple[int, tuple[str, int]] | OSError
        try:
            self._address = resolve(address)
        except OSError as error:  # told at each attempt to connect
            self._address = error
        self._sock: _socket.socket | None = None
        self._fd = -1
        self._unsent: memoryview | None = None
        self._send: Callable[[bytes | memoryview], int]
        self.recv: Callable[[int], bytes]
        self.is_open = self.connecting = False

    def connect(self) -> None:
        """Begin to connect; ``ready`` is called when that has ended."""
        if isinstance(self._address, OSError):
            raise self._address
        self._sock = sock = _sources.connect(*self._address)
        self._fd = sock.fileno()
        self.recv, self._send = sock.recv, sock.send
        self.is_open = self.connecting = True
        self._engine.watch(self._fd, self._driven, select.EPOLLOUT)

    def connected(self) -> None:
        """See how connecting has ended."""
        assert self._sock is not None
        if failure := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise named(failure)
        self.connecting = False
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._engine.rewatch(self._fd, select.EPOLLIN)

    def send(self, data: bytes) -> None:
        """Send, and keep what the kernel does not take now."""
        try:
            sent = self._send(data)
        except BlockingIOError:  # the socket takes nothing now
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._engine.rewatch(self._fd, select.EPOLLIN | select.EPOLLOUT)

    def send_rest(self) -> None:
        """Send what has been kept, as far as it goes."""
        if self._unsent:
            self._unsent = self._unsent[self._send(self._unsent) :]
        if not self._unsent:
            self._unsent = None
            self._engine.rewatch(self._fd, select.EPOLLIN)

    def pause(self) -> None:
        """Leave unread what comes."""
        self._engine.rewatch(self._fd, 0)

    def resume(self) -> None:
        """Read on."""
        self._engine.rewatch(self._fd, select.EPOLLIN)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._sock is not None:
            self._engine.forget(self._fd)
            self._sock.close()
        self._sock = self._unsent = None
        self.is_open = self.connecting = False
