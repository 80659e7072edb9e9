"""The scenarios by name; strings only, since importing the users means importing Locust."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A scenario.

    Attributes:
        users: Classes of ``loadtest.scenarios`` that make it up; the first one's times count.
        reveals: What it shows.
        connections_min: With fewer it is not what it says.
    """

    users: tuple[str, ...]
    reveals: str
    connections_min: int = 1


SCENARIOS: dict[str, Entry] = {
    "hello": Entry(("Hello",), "what a request costs when there is nothing to do"),
    "echo": Entry(("Echo",), "what the model itself costs, with no HTTP on top"),
    "wait": Entry(("Wait",), "how many can be made to wait at once"),
    "connect": Entry(("Connect",), "where processes and threads part: a connection a request"),
    "cpu": Entry(("Cpu",), "what more cores are worth when the interpreter lock is held"),
    "hash": Entry(("Hash",), "what more cores are worth when it is released"),
    "convoy": Entry(("Convoy", "Heavy"), "what light requests suffer from a few heavy ones", 3),
    "idle": Entry(("Active", "Held"), "what silent connections cost the active ones", 101),
    "stream": Entry(("Stream",), "whether big replies to slow readers keep memory flat"),
    "get": Entry(("Get",), "any path (--path) of any server"),
}
"""Name -> what it is made of."""

RATES_HZ = {"hello": 2000.0, "echo": 2000.0, "wait": 1000.0, "connect": 200.0}
"""Requests a second, of all connections together: what every model holds on one core, so that
its CPU time per request is compared and not its ceiling. A process per connection takes 3 ms of
CPU to start and end: hence the last one."""

PROOFS = ("freeze", "delays", "workers", "starved", "wrong")
"""What the meter proves of itself."""
