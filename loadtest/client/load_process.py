"""All connections of one Locust process: it starts and ends their load, and collects the counts."""

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
"""Failures a second that Locust gets one by one, with their texts; all are counted by name."""


class Asker(RequestSource, Protocol):
    """A Locust user, as its load process uses it."""

    @property
    def request_type(self) -> str: ...  # noqa: D102

    @property
    def request_name(self) -> str: ...  # noqa: D102


class LoadProcess:
    """The connections of this process, by the class of their users.

    Attributes:
        spec: Of the current test.
        records: What was measured since ``take_records``: one a second and class.
    """

    _of: ClassVar[dict[Environment, "LoadProcess"]] = {}

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._engine: Engine | None = None
        self.reset(LoadSpec())

    @classmethod
    def of(cls, environment: Environment) -> "LoadProcess":
        """Return the load process of a Locust environment."""
        found = cls._of.get(environment)
        if found is None:
            found = cls._of[environment] = cls(environment)
        return found

    def reset(self, spec: LoadSpec) -> None:
        """Start afresh, for another test."""
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

    @property
    def options(self) -> LoadSpec:
        """Former name of ``spec``, until the next release."""
        return self.spec

    # -- for the users -----------------------------------------------------------------------

    def add(self, user: Asker) -> Channel:
        """Return a new connection for a user."""
        name = type(user).__name__
        self._names[name] = user.request_type, user.request_name
        if self._engine is None:  # not before: Locust may have forked since it started
            self._engine = Engine(lambda error: fail(error, self._environment))
        if name not in self._meters:
            self._meters[name] = Meter()
        channel = Channel(self._engine, self._meters[name], user)
        self.channels[channel] = name
        if self._schedules is not None:  # the load has begun, so a late user begins at once
            channel.begin(self._schedules.get(name))
        return channel

    def remove(self, channel: Channel) -> None:
        """Close a user's connection."""
        self.channels.pop(channel, None)
        channel.close()

    def shared(self, user: Asker, new: Callable[[], Exchange]) -> Exchange:
        """Return the request that all users of a class share, made once in a test."""
        name = type(user).__name__
        exchange = self._shared.get(name)
        if exchange is None:
            exchange = self._shared[name] = new()
        return exchange

    # -- for the test ------------------------------------------------------------------------

    @property
    def established(self) -> dict[str, int]:
        """Connections with a right first reply, by class."""
        return Counter(name for channel, name in self.channels.items() if channel.has_replied)

    @property
    def first_failures(self) -> list[FirstFailure]:
        """What connections without a right first reply had instead, counted by kind."""
        return merged(had for c in self.channels if (had := c.first_failure) is not None)

    @property
    def busy(self) -> bool:
        """Whether a request is in flight or due."""
        return any(channel.busy for channel in self.channels)

    def begin(self, periods_s: dict[str, float | None]) -> None:
        """Make requests from now on.

        Args:
            periods_s: Class -> mean time between two requests of each connection; None: each
                request after the reply before.
        """
        start_s, gap = time.perf_counter(), GAPS[self.spec.arrivals]
        self._schedules = {
            name: None
            if period_s is None
            else Schedule(start_s, period_s, gap, self.spec.deadline_s)
            for name, period_s in periods_s.items()
        }
        gc.unfreeze()  # the connections of an earlier test
        gc.collect()
        gc.freeze()  # the connections stay until the end: no collection needs to look at them
        for channel, name in self.channels.items():
            channel.begin(self._schedules.get(name))

    def open(self) -> None:
        """Open the window."""
        self.collect()
        open_s = time.perf_counter()
        for meter in self._meters.values():
            meter.open(open_s)
        self._phase = "window"
        self._usage["open"] = usage_of_self()

    def close(self) -> None:
        """Close the window; requests that were due before are still made, and awaited."""
        close_s = time.perf_counter()
        for meter in self._meters.values():
            meter.close(close_s)
        for channel in self.channels:
            channel.finish(close_s)
        self._usage["close"] = usage_of_self()
        self.collect()
        self._phase = "after"

    def finish(self) -> dict[str, Any]:
        """Give up what has no reply yet; return what the process had used at the window's ends."""
        heard_s = time.perf_counter() - self.spec.deadline_s
        for channel in self.channels:
            channel.abandon(heard_s)
        self.collect()
        return self._usage

    def every_second(self) -> None:
        """Give up requests of silent servers, and collect what was measured."""
        heard_s = time.perf_counter() - silence_max_s(self.spec.deadline_s)
        for channel in list(self.channels):
            channel.give_up_before(heard_s)
        self.collect()

    def take_records(self) -> list[dict[str, Any]]:
        """Return the records since the last call."""
        records, self.records = self.records, []
        return records

    def collect(self) -> None:
        """Add what was measured to Locust's statistics, and keep it as records."""
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
