"""The echo protocol (RFC 862 over TCP): every byte comes back, in order; FIN for FIN."""

from collections.abc import Iterator

from servers.protocol.connection import State, Step

_IDLE = State.IDLE
_RESPONDING = State.RESPONDING


class EchoConnection:
    """One echo client. See ``servers.protocol.connection.Connection`` for the contract."""

    __slots__ = ("_draining", "state")

    def __init__(self) -> None:
        self.state = State.IDLE
        self._draining = False

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Return the bytes as they came; close at the client's FIN."""
        if not data or self.state is State.CLOSED:
            self.state = State.CLOSED
            return
        self.state = _RESPONDING
        yield data
        if self.state is _RESPONDING:  # it has not timed out meanwhile
            self.state = _IDLE
            if self._draining:  # read after the write above: no drain() is lost
                self.state = State.DRAINED

    def timed_out(self) -> Iterator[Step]:
        """Close a connection that has been silent for too long; echo has no reply for that."""
        self.state = State.CLOSED
        return iter(())

    def drain(self) -> None:
        """Close as soon as the bytes under way have been echoed."""
        self._draining = True
        if self.state is _IDLE:
            self.state = State.DRAINED
