"""What the clients do: small classes, each of which shows one thing. Yours subclass these.

A Locust user is one connection. It waits for nothing itself: the engine calls its channel, and the
user's own greenlet only sleeps until Locust ends it.
"""

import hashlib
import os
import random
from typing import ClassVar

from locust import User, task
from locust.env import Environment

from loadtest.client.address import Address, Url, address_of, url_of
from loadtest.client.load_process import LoadProcess
from loadtest.client.load_spec import ECHO_PORT, LoadSpec
from loadtest.client.replies import EchoExchange, Exchange, HTTPExchange
from loadtest.client.request import asks_to_close

_POOL_BYTES = 64 * 1024
_BLOCK = bytes(range(32, 96))  # what GET /bytes repeats


def _after_rounds(rounds: int) -> int:
    """Return what GET /cpu computes: x -> ax + c, ``rounds`` times from 1, by repeated squaring."""
    a, c, value = 1_103_515_245, 12_345, 1
    while rounds:
        if rounds & 1:
            value = (value * a + c) & 0x7FFFFFFF
        a, c = a * a & 0x7FFFFFFF, (a + 1) * c & 0x7FFFFFFF
        rounds >>= 1
    return value


class Scenario(User):
    """A user that holds one connection, and makes one request on it at a time.

    Attributes:
        request_type: What Locust's page shows as type.
        request_name: What it shows as name.
        share_hz: Requests a second of each such user, whatever the rate; None: the common rate.
        quiet: Whether it only holds its connection after a first reply.
        read_rate_bytes_per_s: How fast replies are read; None: as they come.
    """

    abstract = True
    host: str = "http://127.0.0.1:8000"
    request_type: ClassVar[str] = "GET"
    request_name: ClassVar[str]
    share_hz: ClassVar[float | None] = None
    quiet: bool = False
    read_rate_bytes_per_s: float | None = None

    @property
    def crew(self) -> LoadProcess:
        """The connections of this process."""
        return LoadProcess.of(self.environment)

    def address(self) -> Address:
        """Return where the server is."""
        return address_of(self.host, 80)

    def next_exchange(self) -> Exchange:
        """Return what to ask now; called just before it is sent."""
        raise NotImplementedError

    @classmethod
    def check(cls, host: str, spec: LoadSpec) -> None:
        """See that users of this class can make their requests of this host.

        Raises:
            NotConnectedError: The host is none.
            ValueError: What is to be asked for cannot be, or would not be; says what was expected.
        """
        if target := url_of(host, 80).target:
            raise ValueError(
                f"expected a host without a path, which {cls.__name__} does not ask for, got"
                f" {target!r}"
            )

    def on_start(self) -> None:
        """Begin to connect."""
        self._channel = self.crew.add(self)

    @task
    def ask(self) -> None:
        """Do nothing: all there is to do is the engine's."""

    def wait_time(self) -> float:
        """Sleep until Locust ends the user."""
        return 1e9

    def on_stop(self) -> None:
        """Leave no connection behind."""
        self.crew.remove(self._channel)


class HTTPScenario(Scenario):
    """GET a path: subclass it, say which, and what has to come.

    Attributes:
        method: Of the request.
        path: And the query, if there is one; "": what ``--path`` or the host says.
        content: What is sent with it.
        expected: The content that must come; None: any, with status 200.
        closes: Whether each request has a connection of its own.
        status: That must come.
        headers: Further lines of the request, ``Name: value``.
    """

    abstract = True
    method: ClassVar[str] = "GET"
    path: ClassVar[str] = "/"
    content: ClassVar[bytes] = b""
    expected: ClassVar[bytes | None] = None
    closes: ClassVar[bool] = False
    status: ClassVar[int] = 200
    headers: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def check(cls, host: str, spec: LoadSpec) -> None:
        """See that the request can be made, and that what is to be held may stay."""
        url = url_of(host, 80)
        if url.scheme == "tcp":
            raise ValueError(f"expected http://HOST:PORT for a scenario over HTTP, got {host!r}")
        if cls.quiet and (cls.closes or asks_to_close(spec.headers)):
            raise ValueError("expected no 'Connection: close' where connections are held")
        if isinstance(cls.path, str):  # else it is each user's own, as a property
            _exchange(cls, url, spec)

    def on_start(self) -> None:
        """Begin to connect."""
        self._exchange = self.crew.shared(self, self._new_exchange)
        super().on_start()

    def next_exchange(self) -> Exchange:
        """Return the request, the same for all users of the class: what one knows, all know."""
        return self._exchange

    def _new_exchange(self) -> HTTPExchange:
        return _exchange(self, url_of(self.host, 80), self.crew.spec)


def _exchange(asks: HTTPScenario | type[HTTPScenario], url: Url, spec: LoadSpec) -> HTTPExchange:
    path = asks.path or spec.path or url.target or "/"
    if url.target not in ("", path):
        raise ValueError(f"expected a host without a path to ask for {path}, got {url.target!r}")
    return HTTPExchange(
        url.address, path, asks.method, asks.content, asks.expected, asks.closes, asks.status,
        headers=(*asks.headers, *spec.headers),
    )  # fmt: skip


class Hello(HTTPScenario):
    """What a request costs when there is nothing to do: GET / on a connection that is kept."""

    request_name = "/"
    expected = b"Hello, World!"


class Get(HTTPScenario):
    """Any path of any server: only status 200 and a whole reply are asked for."""

    path, request_name = "", "--path"


class Echo(Scenario):
    """What the model itself costs, with no HTTP on top: bytes there and back over TCP."""

    request_type, request_name = "ECHO", "bytes"
    _pool: ClassVar[bytes] = b""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        length = _POOL_BYTES + self.crew.spec.echo_bytes
        if len(Echo._pool) != length:
            Echo._pool = os.urandom(length)
        self._at = random.randrange(_POOL_BYTES)

    def address(self) -> Address:
        """Return where echo is spoken."""
        return address_of(self.crew.spec.echo_host or super().address().host, ECHO_PORT)

    def next_exchange(self) -> Exchange:
        """Return bytes that are neither another user's nor those of the last time."""
        self._at = start = (self._at + 1) % _POOL_BYTES
        return EchoExchange(Echo._pool[start : start + self.crew.spec.echo_bytes])


class Wait(HTTPScenario):
    """How many can be made to wait at once, and at what cost: a reply that takes 50 ms."""

    path = request_name = "/wait?ms=50"
    expected = b"waited 50 ms\n"


class Connect(HTTPScenario):
    """Where processes and threads part: a connection for each request."""

    request_type, request_name = "CONNECT", "/"
    expected = b"Hello, World!"
    closes = True


class Cpu(HTTPScenario):
    """What more cores are worth when the interpreter lock is held: some 10 ms of Python each."""

    path = request_name = "/cpu?n=100000"
    expected = b"%d\n" % _after_rounds(100_000)


class Hash(HTTPScenario):
    """What more cores are worth when it is released: SHA-256 over a megabyte."""

    path = request_name = "/hash?kib=1024"
    expected = f"{hashlib.sha256(bytes(1024 * 1024)).hexdigest()}\n".encode("ascii")


class Convoy(Hello):
    """What many light requests suffer from a few heavy ones: the latency of GET / beside Heavy."""

    request_type = "CONVOY"


class Heavy(HTTPScenario):
    """The few in a convoy: each holds the interpreter lock some 100 ms, twice a second."""

    request_type = "HEAVY"
    path = request_name = "/cpu?n=1000000"
    expected = b"%d\n" % _after_rounds(1_000_000)
    fixed_count = 2
    share_hz = 2.0


class Active(Hello):
    """What it costs to be surrounded by silence: GET / beside thousands of Held."""

    request_type = "ACTIVE"
    fixed_count = 100


class Held(Hello):
    """The thousands: one request each, then silence on a connection that stays open."""

    request_type = "HELD"
    quiet = True


class Stream(HTTPScenario):
    """Whether big replies to slow readers keep memory flat: a megabyte, read at 2 MB/s."""

    path = request_name = "/bytes?n=1000000"
    expected = (_BLOCK * (1_000_000 // 64 + 1))[:1_000_000]
    read_rate_bytes_per_s = 2e6
