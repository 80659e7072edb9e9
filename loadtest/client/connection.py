"""A non-blocking connection that an engine watches; it buffers what the kernel does not take."""

import _socket
import select
import socket
from collections.abc import Callable, Iterator

from loadtest.client.address import Address, Resolved, resolve
from loadtest.client.engine import Engine, Watched
from loadtest.client.source_addresses import SourceAddresses
from loadtest.measure.errors import more_telling, named

_sources = SourceAddresses()


class Connection:
    """A connection to one server, which can be made and closed again and again.

    Every method except ``close`` raises OSError for whatever happens to the connection.

    Args:
        engine: Watches it.
        owner: Called when the kernel is ready.
        address: Of the server; resolved here, which may take a while.

    Attributes:
        is_open: Whether there is a connection, or one is being made.
        connecting: Whether one is being made.
        in_step: Whether there is a connection, with nothing left to send: only then does the server
            expect a new request next.
        failure: Why nothing more can be sent; None while it can. Reading is still possible.
        recv: The socket's: takes a number of bytes, returns that many or fewer.
    """

    __slots__ = (
        "_addresses", "_engine", "_fd", "_left", "_owner", "_paused", "_send", "_sock", "_unsent",
        "_why", "connecting", "failure", "in_step", "is_open", "recv",
    )  # fmt: skip

    def __init__(self, engine: Engine, owner: Watched, address: Address) -> None:
        self._engine, self._owner = engine, owner
        self._addresses: tuple[Resolved, ...] | OSError
        try:
            self._addresses = resolve(address)
        except OSError as error:  # raised at each attempt to connect
            self._addresses = error
        self._left: Iterator[Resolved]
        self._why: OSError | None = None  # there is no connection yet
        self._sock: _socket.socket | None = None
        self._fd = -1
        self._unsent: memoryview | None = None
        self._send: Callable[[bytes | memoryview], int]
        self.recv: Callable[[int], bytes]
        self.failure: OSError | None = None
        self.is_open = self.connecting = self.in_step = self._paused = False

    def connect(self) -> None:
        """Begin to connect; the engine calls ``ready`` when that has ended."""
        if isinstance(self._addresses, OSError):
            raise self._addresses
        self._left, self._why = iter(self._addresses), None
        self._try_next()

    def connected(self) -> bool:
        """Return whether the connection is made; if that failed, try the next address."""
        assert self._sock is not None
        if failure := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._drop()
            self._why = more_telling(self._why, named(failure))
            self._try_next()
            return False
        self.connecting, self.in_step = False, True
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._engine.rewatch(self._fd, select.EPOLLIN)
        return True

    def _try_next(self) -> None:
        """Begin to connect to the next address; raise the best reason if none is left."""
        self.is_open = self.connecting = True
        for resolved in self._left:
            try:
                self._sock = sock = _sources.connect(*resolved)
            except OSError as error:  # refused at once, or its family is switched off
                self._why = more_telling(self._why, error)
                continue
            self._fd = sock.fileno()
            self.recv, self._send = sock.recv, sock.send
            self._engine.watch(self._fd, self._owner, select.EPOLLOUT)
            return
        assert self._why is not None  # a name has at least one address
        raise self._why

    def send(self, data: bytes) -> None:
        """Send, and keep for ``send_rest`` what the kernel does not take now."""
        try:
            sent = self._send(data)
        except BlockingIOError:  # the send buffer is full
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self.in_step = False
            self._rewatch()

    def send_rest(self) -> None:
        """Send what was kept, as far as the kernel takes it."""
        if self._unsent is None:
            return
        try:
            self._unsent = self._unsent[self._send(self._unsent) :]
        except ConnectionError as error:  # its reply may have come before, and say why
            self._unsent, self.failure = None, error
        else:
            if self._unsent:
                return
            self._unsent, self.in_step = None, True
        self._rewatch()

    def pause(self) -> None:
        """Stop reading."""
        self._paused = True
        self._rewatch()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._rewatch()

    def _rewatch(self) -> None:
        reads = 0 if self._paused else select.EPOLLIN
        self._engine.rewatch(self._fd, reads | (select.EPOLLOUT if self._unsent else 0))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._sock is not None:
            self._drop()
        self._unsent = self.failure = None
        self.is_open = self.connecting = self.in_step = self._paused = False

    def _drop(self) -> None:
        assert self._sock is not None
        self._engine.forget(self._fd)
        self._sock.close()
        self._sock = None
