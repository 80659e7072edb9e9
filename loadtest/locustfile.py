"""What Locust loads: locust -f loadtest/locustfile.py [--class-picker] [Hello Echo Wait ...].

Locust's own page and flags do the rest. Our flags (--rate, --warmup, ...) are fields of that
page; ``locust --help`` does not list them, because Locust prints it before it reads a locustfile.
Your own scenario is a locustfile that imports ``loadtest.plugin`` and a class to subclass, such as
``HTTPScenario``.
"""

from loadtest import plugin
from loadtest.scenarios import (
    Active,
    Connect,
    Convoy,
    Cpu,
    Echo,
    Get,
    Hash,
    Heavy,
    Held,
    Hello,
    Stream,
    Wait,
)  # fmt: skip

__all__ = [
    "Active", "Connect", "Convoy", "Cpu", "Echo", "Get", "Hash", "Heavy", "Held", "Hello",
    "Stream", "Wait", "plugin",
]  # fmt: skip
