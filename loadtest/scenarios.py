"""What the clients do: a Locust user for each scenario.

A user checks every reply, and takes a new connection after an error. Left alone it asks again as
soon as it has its reply (a closed loop, flat out); given a pace it waits for its turn.
"""

import itertools
import math
import os
import random
import time
from typing import ClassVar, Generic, NamedTuple, TypeVar

from gevent.event import Event
from locust import User, task
from locust.env import Environment

from loadtest.clients import Address, Client, EchoClient, HTTPClient, ReplyError, address_of

ECHO_PORT = 7000
ECHO_BYTES = 128
ECHO_BYTES_MIN, ECHO_BYTES_MAX = 64, 1024
"""Length of an echoed message: from a line of chat to what still fits one segment of TCP."""

WAIT_MS = 50
"""How long the back end takes that ``/wait`` pretends to ask."""

PAUSE_AFTER_ERROR_S = 0.1
"""So that users whose server has gone do not spin."""


class Pace(NamedTuple):
    """A rate that all users hold together, from when it has begun."""

    rate_hz: float
    users: int
    begun: Event

    @property
    def period_s(self) -> float:
        """Time between two turns of one user."""
        return self.users / self.rate_hz


class Scenario(User):
    """A user that makes one request per task, and reports it with its time as a float."""

    abstract = True
    host: str = "http://127.0.0.1:8000"
    pace: ClassVar[Pace | None] = None
    request_type: ClassVar[str]
    request_name: ClassVar[str]
    _made: ClassVar = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.first_reply = Event()
        self._pause_s = 0.0
        # Turns are slots of one common clock, a user's own moment in each of its slots drawn once:
        # users neither wake together nor in step.
        self._turn_s = (next(self._made) + random.random()) / self.pace.rate_hz if self.pace else 0

    def connect(self) -> None:
        """Take a connection before the clock runs, if the scenario holds one and there is none."""

    def exchange(self) -> int:
        """Make a request and return the length of what came back."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Give the connection up, if there is one."""

    @task
    def request(self) -> None:
        """Make a request, and report what became of it."""
        error = None
        reply_bytes = 0
        start_s = time.perf_counter()
        try:
            self.connect()
            start_s = time.perf_counter()
            reply_bytes = self.exchange()
        except ReplyError as failure:  # reported below; what the connection is in, nobody knows
            error = failure
            self.disconnect()
        response_ms = (time.perf_counter() - start_s) * 1000
        self._pause_s = PAUSE_AFTER_ERROR_S if error else 0.0
        self.environment.events.request.fire(
            request_type=self.request_type,
            name=self.request_name,
            response_time=response_ms,
            response_length=reply_bytes,
            exception=error,
            context={},
        )
        if error is None:
            self.first_reply.set()

    def wait_time(self) -> float:
        """Return how long to wait for the next turn; one that was missed is not made up for.

        Not Locust's constant_throughput(), which counts from when a user was made: a delay before
        the first request is taken off the first wait, and users made together wake together.
        """
        if self.pace is None or not self.first_reply.is_set():
            return self._pause_s
        self.pace.begun.wait()  # everybody has a reply before anybody takes turns
        now_s = time.perf_counter()
        period_s = self.pace.period_s
        # At least one turn on, though a timer may have fired early.
        self._turn_s += period_s * max(1, math.ceil((now_s - self._turn_s) / period_s))
        return max(self._turn_s - now_s, self._pause_s)

    def on_stop(self) -> None:
        """Leave no connection behind."""
        self.disconnect()


AnyClient = TypeVar("AnyClient", bound=Client)


class Holding(Scenario, Generic[AnyClient]):
    """A user that holds its connection."""

    abstract = True
    client: AnyClient | None = None

    def new_client(self) -> AnyClient:
        """Return a new connection."""
        raise NotImplementedError

    def connect(self) -> None:
        """Take a connection, unless there is one."""
        if self.client is None:
            self.client = self.new_client()

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self.client is not None:
            self.client.close()
            self.client = None

    @property
    def held(self) -> AnyClient:
        """The connection that ``connect`` has taken."""
        assert self.client is not None
        return self.client


class Hello(Holding[HTTPClient]):
    """GET / on a connection that is kept: what a request costs when there is nothing to do."""

    request_type, request_name = "GET", "/"

    def new_client(self) -> HTTPClient:
        """Return a new connection."""
        return HTTPClient(http_address(self.host))

    def exchange(self) -> int:
        """Ask for the 13 bytes."""
        return len(self.held.get("/", b"Hello, World!"))


class Wait(Holding[HTTPClient]):
    """GET /wait on a connection that is kept: how many can be made to wait, and at what cost."""

    request_type, request_name = "GET", f"/wait?ms={WAIT_MS}"

    def new_client(self) -> HTTPClient:
        """Return a new connection."""
        return HTTPClient(http_address(self.host))

    def exchange(self) -> int:
        """Ask for an answer that takes its time."""
        return len(self.held.get(self.request_name, b"waited %d ms\n" % WAIT_MS))


class Echo(Holding[EchoClient]):
    """Bytes there and back over TCP: what the model itself costs, with no HTTP on top."""

    request_type, request_name = "ECHO", "bytes"
    echo_host: ClassVar[str] = ""
    echo_bytes: ClassVar[int] = ECHO_BYTES

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._payload = os.urandom(self.echo_bytes)

    def new_client(self) -> EchoClient:
        """Return a new connection."""
        host = self.echo_host or http_address(self.host).host
        return EchoClient(address_of(host, ECHO_PORT))

    def exchange(self) -> int:
        """Send bytes that are neither another user's nor those of the last time."""
        self._payload = self._payload[1:] + self._payload[:1]
        return self.held.exchange(self._payload)


class Connect(Scenario):
    """GET / on a connection of its own each time: what it costs to start and end one."""

    request_type, request_name = "CONNECT", "/"

    def exchange(self) -> int:
        """Connect, ask for the 13 bytes, read to the end, close."""
        with HTTPClient(http_address(self.host)) as client:
            return len(client.get_and_close("/", b"Hello, World!"))


SCENARIOS: dict[str, type[Scenario]] = {
    "hello": Hello,
    "echo": Echo,
    "wait": Wait,
    "connect": Connect,
}


def http_address(host: str) -> Address:
    """Return where HTTP is spoken, from what Locust calls the host."""
    return address_of(host, 80)
