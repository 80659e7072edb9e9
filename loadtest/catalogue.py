"""The scenarios by name; strings only, since importing the users means importing Locust."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A scenario.

    Attributes:
        users: Classes of ``loadtest.scenarios`` that make it up; the first one's times count.
        reveals: What it shows.
        rate_hz: Requests a second, of all connections together: what every model holds on one
            core, so that its CPU time per request is compared and not its ceiling.
        rate_per_connection_hz: Half of what one connection can do, and a little less: with few of
            them no more than this is asked of each.
        connections_min: With fewer it is not what it says.
        connections_max: With more, one round of all of them takes longer than a window.
        works: Whether a request is more work for the server than for the generator: then, flat
            out, the server is the limit.
    """

    users: tuple[str, ...]
    reveals: str
    rate_hz: float
    rate_per_connection_hz: float
    connections_min: int = 1
    connections_max: int = 1_000_000
    works: bool = False

    def takes(self, connections: int) -> bool:
        """Return whether so many connections make sense."""
        return self.connections_min <= connections <= self.connections_max

    def rate_for(self, connections: int) -> float:
        """Return the rate that every model is to hold with so many connections."""
        return min(self.rate_hz, connections * self.rate_per_connection_hz)


SCENARIOS: dict[str, Entry] = {
    "hello": Entry(("Hello",), "what a request costs when there is nothing to do", 2000, 1000),
    "echo": Entry(("Echo",), "what the model itself costs, with no HTTP on top", 2000, 1000),
    "wait": Entry(("Wait",), "how many can be made to wait at once", 1000, 10, works=True),
    "connect": Entry(  # a process per connection takes 3 ms of CPU to start and end
        ("Connect",), "where processes and threads part: a connection a request", 200, 100,
        works=True,
    ),
    "cpu": Entry(
        ("Cpu",), "what more cores are worth when the interpreter lock is held", 30, 30,
        connections_max=100, works=True,
    ),
    "hash": Entry(
        ("Hash",), "what more cores are worth when it is released", 200, 200,
        connections_max=1000, works=True,
    ),
    "convoy": Entry(
        ("Convoy", "Heavy"), "what light requests suffer from a few heavy ones", 200, 100, 3
    ),
    "idle": Entry(
        ("Active", "Held"), "what silent connections cost the active ones", 1000, 1000, 101
    ),
    "stream": Entry(
        ("Stream",), "whether big replies to slow readers keep memory flat", 50, 0.5,
        connections_max=1000,
    ),
    "get": Entry(("Get",), "any path (--path) of any server", 100, 10),
}  # fmt: skip
"""Name -> what it is made of."""

PROOFS = ("freeze", "delays", "workers", "starved", "wrong")
"""What the meter proves of itself."""
