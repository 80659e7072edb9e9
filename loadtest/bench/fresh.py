"""A client that connects again for each request: python -m loadtest.bench.fresh HOST PORT.

It prints an empty line after its first request, goes on until its standard input ends, and then
prints a Fresh as one line of JSON.
"""

import json
import select
import sys
import time
from dataclasses import asdict, dataclass

from loadtest.bench.peer_app import HELLO
from loadtest.client.address import Address
from loadtest.client.clients import HTTPClient
from loadtest.measure.errors import ReplyError

TIMEOUT_S = 60.0
_PAUSE_S = 0.1


@dataclass
class Fresh:
    """The results of a client that makes a new connection for each request."""

    requests: int = 0
    failures: int = 0
    failure: str = ""  # the last one
    worst_s: float = 0.0


def main() -> None:
    """Send requests until standard input ends."""
    address = Address(sys.argv[1], int(sys.argv[2]))
    fresh = Fresh()
    _request(address, fresh)
    print(flush=True)
    while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
        _request(address, fresh)
    print(json.dumps(asdict(fresh)))


def _request(address: Address, fresh: Fresh) -> None:
    start_s = time.perf_counter()
    try:
        with HTTPClient(address, TIMEOUT_S) as client:
            client.get_and_close("/", HELLO)
    except ReplyError as error:  # a failure is a result
        fresh.failures += 1
        fresh.failure = str(error)
    fresh.requests += 1
    fresh.worst_s = max(fresh.worst_s, time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
