"""The echo protocol (RFC 862 over TCP): every byte comes back, in order; FIN for FIN."""

from collections.abc import Iterator

from servers.protocol.connection import Awaiting, Step


class EchoConnection:
    """One echo client. See ``servers.protocol.connection.Connection`` for the contract."""

    __slots__ = ("awaiting", "closed")

    def __init__(self) -> None:
        self.awaiting = Awaiting.IDLE
        self.closed = False

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Return the bytes as they came; after the peer's FIN, nothing but our own."""
        if data:
            self.awaiting = Awaiting.NOTHING
            yield data
            self.awaiting = Awaiting.IDLE
        else:
            self.closed = True
            self.awaiting = Awaiting.NOTHING

    def timed_out(self) -> Iterator[Step]:
        """End a connection that has been silent for too long; echo has no words for it."""
        self.closed = True
        self.awaiting = Awaiting.NOTHING
        return iter(())

    def drain(self) -> None:
        """Close as soon as the bytes under way have been echoed."""
        self.closed = True
