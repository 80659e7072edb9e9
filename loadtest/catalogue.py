"""The scenarios by name, as strings only: importing the users would import Locust."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A scenario.

    Attributes:
        users: Its classes in ``loadtest.scenarios``; the times of the first one count.
        reveals: What it shows about a model.
        rate_hz: Requests a second over all connections. Every model holds this rate on one core,
            so that CPU time per request is compared, not the ceiling.
        rate_per_connection_hz: At most this rate is asked of one connection: a little less than
            half of what it can do.
        connections_min: With fewer connections the scenario loses its meaning.
        connections_max: With more, one round of all connections takes longer than a window.
        works: Whether a request costs the server more than the generator, so that flat out the
            server is the limit.
    """

    users: tuple[str, ...]
    reveals: str
    rate_hz: float
    rate_per_connection_hz: float
    connections_min: int = 1
    connections_max: int = 1_000_000
    works: bool = False

    def takes(self, connections: int) -> bool:
        """Return whether the scenario can run with this number of connections."""
        return self.connections_min <= connections <= self.connections_max

    def rate_for(self, connections: int) -> float:
        """Return the rate that every model has to hold with this number of connections."""
        return min(self.rate_hz, connections * self.rate_per_connection_hz)


SCENARIOS: dict[str, Entry] = {
    "hello": Entry(("Hello",), "the cost of a request whose handler does nothing", 2000, 1000),
    "echo": Entry(("Echo",), "the cost of the model itself, without HTTP", 2000, 1000),
    "wait": Entry(("Wait",), "how many requests can wait at the same time", 1000, 10, works=True),
    "connect": Entry(  # a process per connection takes 3 ms of CPU to start and end
        ("Connect",), "the cost of a connection: each request opens a new one", 200, 100,
        works=True,
    ),
    "cpu": Entry(
        ("Cpu",), "the gain of more cores while the handler holds the interpreter lock", 30, 30,
        connections_max=100, works=True,
    ),
    "hash": Entry(
        ("Hash",), "the gain of more cores while the handler releases it", 200, 200,
        connections_max=1000, works=True,
    ),
    "convoy": Entry(
        ("Convoy", "Heavy"), "how much a few heavy requests delay light ones", 200, 100, 3
    ),
    "idle": Entry(
        ("Active", "Held"), "the cost of silent connections for the active ones", 1000, 1000, 101
    ),
    "stream": Entry(
        ("Stream",), "whether memory stays flat with large replies to slow readers", 50, 0.5,
        connections_max=1000,
    ),
    "get": Entry(("Get",), "any path (--path) of any server", 100, 10),
}  # fmt: skip
"""Name -> scenario."""

PROOFS = ("freeze", "delays", "workers", "starved", "wrong")
"""The proofs of ``selftest``."""
