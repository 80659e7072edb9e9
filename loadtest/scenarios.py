"""The scenarios: small classes, each of which shows one thing. Subclass them for your own.

A Locust user is one connection. Its greenlet only sleeps until Locust ends it: the engine makes the
requests.
"""

import functools
import hashlib
import os
import random
from collections.abc import Callable
from typing import Any, ClassVar

from locust import User, task
from locust.env import Environment

from loadtest.client.address import Address, Url, address_of, url_of
from loadtest.client.load_process import LoadProcess
from loadtest.client.load_spec import ECHO_BYTES as ECHO_BYTES  # until the next release
from loadtest.client.load_spec import ECHO_BYTES_MAX as ECHO_BYTES_MAX
from loadtest.client.load_spec import ECHO_PORT, LoadSpec
from loadtest.client.replies import EchoExchange, Exchange, HTTPExchange
from loadtest.client.request import asks_to_close

_POOL_BYTES = 64 * 1024
_BLOCK = bytes(range(32, 96))  # what GET /bytes repeats


def _after_rounds(rounds: int) -> int:
    """Return the result of GET /cpu: x -> ax + c, ``rounds`` times from 1, by repeated squaring."""
    a, c, value = 1_103_515_245, 12_345, 1
    while rounds:
        if rounds & 1:
            value = (value * a + c) & 0x7FFFFFFF
        a, c = a * a & 0x7FFFFFFF, (a + 1) * c & 0x7FFFFFFF
        rounds >>= 1
    return value


def _formerly_options(check: Callable[[Any, str, LoadSpec], None]) -> Callable[..., None]:
    """Accept the former name of ``spec``, ``options``, until the next release."""

    @functools.wraps(check)
    def renamed(cls: type["Scenario"], host: str, *spec: LoadSpec, **named: LoadSpec) -> None:
        if "options" in named:
            named["spec"] = named.pop("options")
        check(cls, host, *spec, **named)

    return renamed


class Scenario(User):
    """A user that holds one connection and makes one request at a time on it.

    Attributes:
        request_type: Type on Locust's page.
        request_name: Name on Locust's page.
        share_hz: Requests a second of each user of the class, whatever the rate; None: the common
            rate.
        quiet: Whether the user only holds its connection after a first reply.
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
    def load_process(self) -> LoadProcess:
        """The connections of this process."""
        return LoadProcess.of(self.environment)

    @property
    def crew(self) -> LoadProcess:
        """Former name of ``load_process``, until the next release."""
        return self.load_process

    def address(self) -> Address:
        """Return the server's address."""
        return address_of(self.host, 80)

    def next_exchange(self) -> Exchange:
        """Return the next request; called just before it is sent."""
        raise NotImplementedError

    @classmethod
    @_formerly_options
    def check(cls, host: str, spec: LoadSpec) -> None:
        """See that users of this class can make their requests of this host.

        Raises:
            NotConnectedError: The host is not valid.
            ValueError: The requests cannot be made, or the host has a path that the class ignores;
                says what was expected.
        """
        if target := url_of(host, 80).target:
            raise ValueError(
                f"expected a host without a path, which {cls.__name__} does not request, got"
                f" {target!r}"
            )

    def on_start(self) -> None:
        """Begin to connect."""
        self._channel = self.load_process.add(self)

    @task
    def ask(self) -> None:
        """Do nothing: the engine makes the requests."""

    def wait_time(self) -> float:
        """Sleep until Locust ends the user."""
        return 1e9

    def on_stop(self) -> None:
        """Close the connection."""
        self.load_process.remove(self._channel)


class HTTPScenario(Scenario):
    """GET a path: subclass it with the path and the expected reply.

    Attributes:
        method: Of the request.
        path: Path and query; "": those of ``--path`` or of the host.
        content: Of the request.
        expected: The right content of the reply; None: any.
        closes: Whether each request has a connection of its own.
        status: The right status.
        headers: Further fields of the request, ``Name: value``.
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
    @_formerly_options
    def check(cls, host: str, spec: LoadSpec) -> None:
        """See that the request can be made, and that no header closes a connection to be held."""
        url = url_of(host, 80)
        if url.scheme == "tcp":
            raise ValueError(f"expected http://HOST:PORT for a scenario over HTTP, got {host!r}")
        if cls.quiet and (cls.closes or asks_to_close(spec.headers)):
            raise ValueError("expected no 'Connection: close' where connections are held")
        if isinstance(cls.path, str):  # a property differs for each user
            _exchange(cls, url, spec)

    def on_start(self) -> None:
        """Begin to connect."""
        self._exchange = self.load_process.shared(self, self._new_exchange)
        super().on_start()

    def next_exchange(self) -> Exchange:
        """Return the request that all users of the class share: one learns its reply for all."""
        return self._exchange

    def _new_exchange(self) -> HTTPExchange:
        return _exchange(self, url_of(self.host, 80), self.load_process.spec)


def _exchange(of: HTTPScenario | type[HTTPScenario], url: Url, spec: LoadSpec) -> HTTPExchange:
    path = of.path or spec.path or url.target or "/"
    if url.target not in ("", path):
        raise ValueError(f"expected a host without a path to request {path}, got {url.target!r}")
    return HTTPExchange(
        url.address, path, of.method, of.content, of.expected, of.closes, of.status,
        headers=(*of.headers, *spec.headers),
    )  # fmt: skip


class Hello(HTTPScenario):
    """The cost of a request without work: GET / on a kept connection."""

    request_name = "/"
    expected = b"Hello, World!"


class Get(HTTPScenario):
    """Any path of any server: the reply must be complete and have status 200."""

    path, request_name = "", "--path"


class Echo(Scenario):
    """The cost of the model itself, without HTTP: bytes there and back over TCP."""

    request_type, request_name = "ECHO", "bytes"
    _pool: ClassVar[bytes] = b""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        length = _POOL_BYTES + self.load_process.spec.echo_bytes
        if len(Echo._pool) != length:
            Echo._pool = os.urandom(length)
        self._at = random.randrange(_POOL_BYTES)

    def address(self) -> Address:
        """Return the address of the server's echo."""
        return address_of(self.load_process.spec.echo_host or super().address().host, ECHO_PORT)

    def next_exchange(self) -> Exchange:
        """Return bytes that differ from other users' and from the last ones."""
        self._at = start = (self._at + 1) % _POOL_BYTES
        return EchoExchange(Echo._pool[start : start + self.load_process.spec.echo_bytes])


class Wait(HTTPScenario):
    """Many waits at the same time, and their cost: each reply takes 50 ms."""

    path = request_name = "/wait?ms=50"
    expected = b"waited 50 ms\n"


class Connect(HTTPScenario):
    """The cost of a connection: each request has its own."""

    request_type, request_name = "CONNECT", "/"
    expected = b"Hello, World!"
    closes = True


class Cpu(HTTPScenario):
    """More cores where the interpreter lock is held: some 10 ms of Python a request."""

    path = request_name = "/cpu?n=100000"
    expected = b"%d\n" % _after_rounds(100_000)


class Hash(HTTPScenario):
    """More cores where the lock is released: SHA-256 of a megabyte."""

    path = request_name = "/hash?kib=1024"
    expected = f"{hashlib.sha256(bytes(1024 * 1024)).hexdigest()}\n".encode("ascii")


class Convoy(Hello):
    """Light requests behind a few heavy ones: the latency of GET / beside Heavy."""

    request_type = "CONVOY"


class Heavy(HTTPScenario):
    """The few in a convoy: each holds the interpreter lock some 100 ms, twice a second."""

    request_type = "HEAVY"
    path = request_name = "/cpu?n=1000000"
    expected = b"%d\n" % _after_rounds(1_000_000)
    fixed_count = 2
    share_hz = 2.0


class Active(Hello):
    """The cost of idle connections: GET / beside thousands of Held."""

    request_type = "ACTIVE"
    fixed_count = 100


class Held(Hello):
    """The idle ones: one request each, then silence on a connection that stays open."""

    request_type = "HELD"
    quiet = True


class Stream(HTTPScenario):
    """Big replies to slow readers, which should not cost memory: a megabyte, read at 2 MB/s."""

    path = request_name = "/bytes?n=1000000"
    expected = (_BLOCK * (1_000_000 // 64 + 1))[:1_000_000]
    read_rate_bytes_per_s = 2e6
