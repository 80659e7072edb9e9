"""A non-blocking connection that an engine watches: it takes all that is to be sent, at once."""

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
    """A connection to one server, made and ended as often as it takes.

    Every method but ``close`` raises OSError for whatever becomes of the connection.

    Args:
        engine: Watches it.
        owner: Called when the kernel is ready.
        address: Of the server; looked up here and now, which may take a while.

    Attributes:
        is_open: Whether there is a connection, or one is being made.
        connecting: Whether one is being made.
        in_step: Whether there is a connection, and all that was to be sent has been: only then
            does what is sent next begin where the server expects a request.
        failure: Why no more can be sent; None while it can. What has come can still be read.
        recv: Of the socket: takes a number of bytes, returns that many or fewer.
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
        except OSError as error:  # told at each attempt to connect
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
        """Begin to connect; ``ready`` is called when there is something to see of it."""
        if isinstance(self._addresses, OSError):
            raise self._addresses
        self._left, self._why = iter(self._addresses), None
        self._try_next()

    def connected(self) -> bool:
        """See how connecting has ended; return whether well, else another address is tried."""
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
        """Begin to connect to the next address; without one, raise why there is none."""
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
        """Send, and keep what the kernel does not take now."""
        try:
            sent = self._send(data)
        except BlockingIOError:  # the socket takes nothing now
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self.in_step = False
            self._rewatch()

    def send_rest(self) -> None:
        """Send what has been kept, as far as it goes."""
        if self._unsent is None:
            return
        try:
            self._unsent = self._unsent[self._send(self._unsent) :]
        except ConnectionError as error:  # it takes no more, but may have said before why
            self._unsent, self.failure = None, error
        else:
            if self._unsent:
                return
            self._unsent, self.in_step = None, True
        self._rewatch()

    def pause(self) -> None:
        """Leave unread what comes."""
        self._paused = True
        self._rewatch()

    def resume(self) -> None:
        """Read on."""
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
