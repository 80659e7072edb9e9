"""All connections of one Locust process: what they are told, and what they have measured."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from locust.env import Environment

from loadtest.client.arrivals import GAPS, Schedule
from loadtest.client.channel import Channel
from loadtest.client.engine import Engine
from loadtest.client.failing import fail
from loadtest.client.load_spec import LoadSpec
from loadtest.client.replies import Exchange, RequestSource
from loadtest.limits import silence_max_s
from loadtest.measure.clock import now_s
from loadtest.measure.first_failures import FirstFailure, merged
from loadtest.measure.locust_stats import feed
from loadtest.measure.meter import Meter
from loadtest.measure.process_usage import usage_of_self

FAILURES_TOLD_MAX = 100
"""Failures a second that Locust is told one by one, with their texts; all are counted by name."""


class Asker(RequestSource, Protocol):
    """A Locust user, as a crew sees it."""

    @property
    def request_type(self) -> str: ...  # noqa: D102

    @property
    def request_name(self) -> str: ...  # noqa: D102


class LoadProcess:
    """The connections of this process, by the class of their users.

    Attributes:
        spec: Of the present test.
        records: What has been measured and nobody has asked for yet, one a second and class.
    """

    _of: ClassVar[dict[Environment, "LoadProcess"]] = {}

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._engine: Engine | None = None
        self.reset(LoadSpec())

    @classmethod
    def of(cls, environment: Environment) -> "LoadProcess":
        """Return the crew of a Locust process."""
        found = cls._of.get(environment)
        if found is None:
            found = cls._of[environment] = cls(environment)
        return found

    def reset(self, spec: LoadSpec) -> None:
        """Be as new, for another test."""
        self.spec = spec
        self.records: list[dict[str, Any]] = []
        self.channels: dict[Channel, str] = {}
        self._phase = "before"
        self._meters: dict[str, Meter] = {}
        self._names: dict[str, tuple[str, str]] = {}  # class -> type and name of its requests
        self._shared: dict[str, Exchange] = {}
        self._schedules: dict[str, Schedule | None] | None = None
        self._taken_s = now_s()
        self._usage: dict[str, dict[str, float]] = {}

    # -- for the users -----------------------------------------------------------------------

    def add(self, user: Asker) -> Channel:
        """Return a new connection for a user."""
        name = type(user).__name__
        self._names[name] = user.request_type, user.request_name
        if self._engine is None:  # only now: Locust may have forked since it was started
            self._engine = Engine(lambda error: fail(error, self._environment))
        if name not in self._meters:
            self._meters[name] = Meter()
        channel = Channel(self._engine, self._meters[name], user)
        self.channels[channel] = name
        if self._schedules is not None:  # it came late, so it begins at once
            channel.begin(self._schedules.get(name))
        return channel

    def remove(self, channel: Channel) -> None:
        """End a connection."""
        self.channels.pop(channel, None)
        channel.close()

    def shared(self, user: Asker, new: Callable[[], Exchange]) -> Exchange:
        """Return what all users of a class ask, made once in a test."""
        name = type(user).__name__
        exchange = self._shared.get(name)
        if exchange is None:
            exchange = self._shared[name] = new()
        return exchange

    # -- for the conductor -------------------------------------------------------------------

    @property
    def established(self) -> dict[str, int]:
        """How many connections have had a reply, by class."""
        return Counter(name for channel, name in self.channels.items() if channel.has_replied)

    @property
    def first_failures(self) -> list[FirstFailure]:
        """What connections without a right first reply had instead, counted by kind."""
        return merged(had for c in self.channels if (had := c.first_failure) is not None)

    @property
    def busy(self) -> bool:
        """Whether something is still to be answered, or to be asked."""
        return any(channel.busy for channel in self.channels)

    def begin(self, periods_s: dict[str, float | None]) -> None:
        """Begin to ask: each connection of a class with this mean time between two requests.

        Args:
            periods_s: By class; None: one request after the other.
        """
        start_s, gap = time.perf_counter(), GAPS[self.spec.arrivals]
        self._schedules = {
            name: None
            if period_s is None
            else Schedule(start_s, period_s, gap, self.spec.deadline_s)
            for name, period_s in periods_s.items()
        }
        gc.unfreeze()  # of a test before
        gc.collect()
        gc.freeze()  # the connections are here to stay: no collection need look at them again
        for channel, name in self.channels.items():
            channel.begin(self._schedules.get(name))

    def open(self) -> None:
        """Let the window begin."""
        self.collect()
        open_s = time.perf_counter()
        for meter in self._meters.values():
            meter.open(open_s)
        self._phase = "window"
        self._usage["open"] = usage_of_self()

    def close(self) -> None:
        """Let the window end; what is due until then is still asked, and waited for."""
        close_s = time.perf_counter()
        for meter in self._meters.values():
            meter.close(close_s)
        for channel in self.channels:
            channel.finish(close_s)
        self._usage["close"] = usage_of_self()
        self.collect()
        self._phase = "after"

    def finish(self) -> dict[str, Any]:
        """Give up what has no answer yet; return the usage of the process over the window."""
        heard_s = time.perf_counter() - self.spec.deadline_s
        for channel in self.channels:
            channel.abandon(heard_s)
        self.collect()
        return self._usage

    def every_second(self) -> None:
        """Give up what has been waited for too long, and take what was measured."""
        heard_s = time.perf_counter() - silence_max_s(self.spec.deadline_s)
        for channel in list(self.channels):
            channel.give_up_before(heard_s)
        self.collect()

    def take_records(self) -> list[dict[str, Any]]:
        """Return the records since the last call."""
        records, self.records = self.records, []
        return records

    def collect(self) -> None:
        """Hand what was measured to Locust's statistics, and keep it for the conductor."""
        from_s, self._taken_s = self._taken_s, now_s()
        usage = usage_of_self() | {"time_s": self._taken_s, "connections": len(self.channels)}
        self.records.append({"usage": usage})
        for name, meter in self._meters.items():
            inside, outside = meter.inside.take(), meter.outside.take()
            failures, meter.failures = meter.failures, []
            if not (inside.any or outside.any):
                continue
            for taken in (inside, outside):
                feed(self._environment.stats, *self._names[name], taken, self._taken_s)
            for error in failures[:FAILURES_TOLD_MAX]:
                method, title = self._names[name]
                self._environment.events.request.fire(  # type: ignore[no-untyped-call]
                    request_type=method, name=title, response_time=None, response_length=0,
                    exception=error, context={},
                )  # fmt: skip
            record = {"class": name, "phase": self._phase, "from_s": from_s}
            record |= {"to_s": self._taken_s}
            counts = ("requests", "errors", "given_up", "unfinished")
            record |= {"outside": {count: getattr(outside, count) for count in counts}}
            self.records.append(record | {"inside": inside.encoded()})
