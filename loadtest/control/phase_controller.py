"""Leads one load through its phases, and collects what all processes have seen.

It runs where Locust's statistics come together: in the master, or in the only process there is.
Connect (every connection has a first reply), warm up (at the full rate), window, last replies.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner, Runner

from loadtest.control.messages import (
    BEGIN,
    CLOSE,
    OPEN,
    Finished,
    Periods,
    Readiness,
    Record,
    Usage,
)
from loadtest.control.sampling import Sampler
from loadtest.control.stages import Stage
from loadtest.limits import REPORT_LIMIT_S, connect_limit_s, silence_max_s
from loadtest.measure.first_failures import FirstFailure, described, merged, with_silence
from loadtest.measure.observation import Observation, Plan

SAMPLE_INTERVAL_S = 1.0


class PhaseController:
    """Leads one load.

    Args:
        environment: Locust's.
        plan: What is to be done.
        shares_hz: Of each user class its own rate for each user; None: the common rate.
        quiet: The classes that only hold their connections.
        sampler: Of the server.

    Attributes:
        trouble: Why there is no result; "" while nothing is known against it.
        stage: The one that has begun last.
    """

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        shares_hz: Mapping[str, float | None],
        quiet: frozenset[str],
        sampler: Sampler,
    ) -> None:
        assert environment.runner is not None
        self._runner: Runner = environment.runner
        self._plan, self._shares_hz, self._quiet = plan, shares_hz, quiet
        self._sampler = sampler
        self._changed = Event()
        self._established: dict[str, dict[str, int]] = {}
        self._failures: dict[str, list[FirstFailure]] = {}
        self._without_reply: Counter[str] = Counter()
        self._usage: dict[str, Usage] = {}
        self._records: list[Record] = []
        self._seconds: dict[str, list[dict[str, float]]] = {}
        self._workers: set[str] = set()
        self._marks: dict[str, dict[str, Any]] = {}
        self._window_s = 0.0
        self.trouble = ""
        self.stage = Stage.CONNECT
        self._opened_s = 0.0

    # -- what the processes tell -------------------------------------------------------------

    def add_records(self, worker: str, records: list[Record]) -> None:
        """Add what a load process has measured."""
        for record in records:
            if "usage" in record:
                self._seconds.setdefault(worker, []).append(record["usage"])
            else:
                self._records.append(record | {"worker": worker})

    def on_readiness(self, worker: str, ready: Readiness) -> None:
        """Note how many connections of a load process are ready, and what the others had."""
        self._established[worker] = ready["established"]
        self._failures[worker] = [FirstFailure(*failure) for failure in ready["failures"]]
        self._changed.set()

    def on_finished(self, worker: str, finished: Finished) -> None:
        """Add the last that a load process has measured."""
        self.add_records(worker, finished["records"])
        self._usage[worker] = finished["usage"]
        self._changed.set()

    # -- the phases --------------------------------------------------------------------------

    def idle(self) -> None:
        """Take the sample to which memory is compared; before there is any connection."""
        self._sampler.sample(proportional=True)  # the first one costs the server memory of its own
        self._mark("idle", proportional=True)

    def change_users(self) -> None:
        """Take note that there are others than planned: what is measured is of both."""
        self.trouble = "users were added, ended or moved during the test; start another test"

    def forget_connections(self) -> None:
        """Forget what the processes have told; they tell it again."""
        self._established.clear()
        self._failures.clear()

    def connect(self) -> bool:
        """Wait until every connection has had a reply; return whether they all have.

        Not for ever: until time is up, none has had one for as long as a server may be silent, or
        every connection has had a reply that is wrong, and would be wrong again.
        """
        wanted, deadline_s = self._runner.target_user_count, self._plan.deadline_s
        begin_s = heard_s = time.monotonic()
        replied = 0
        self._workers = self._present()
        while (now := sum(sum(c.values()) for c in self._established.values())) < wanted:
            now_s = time.monotonic()
            if now > replied:
                replied, heard_s = now, now_s
            give_up_s = min(
                heard_s + silence_max_s(deadline_s), begin_s + connect_limit_s(wanted, deadline_s)
            )
            instead = merged(chain.from_iterable(self._failures.values()))
            final = sum(kind.connections for kind in instead if kind.final)
            if final >= wanted or now_s >= give_up_s:
                kinds = with_silence(instead, wanted - now)
                for kind in kinds:
                    self._without_reply[kind.name] += kind.connections
                self.trouble = (
                    f"{now:,} of {wanted:,} connections had a right reply after"
                    f" {now_s - begin_s:.0f} s; {described(kinds)}"
                )
                return False
            self._changed.wait(give_up_s - now_s)
            self._changed.clear()
        if without := sorted(self._shares_hz.keys() - self.established().keys()):
            self.trouble = f"{wanted:,} users, and none of them was of: {', '.join(without)}"
        return not without

    def begin(self) -> None:
        """Let them ask."""
        self.stage = Stage.WARM_UP
        established = self.established()
        rated = {
            name: count
            for name, count in established.items()
            if self._shares_hz.get(name) is None and name not in self._quiet
        }
        rate_hz = self._plan.rate_hz
        periods_s: Periods = {}
        for name in established:
            share_hz = self._shares_hz.get(name)
            if share_hz is not None:
                periods_s[name] = 1 / share_hz
            else:
                periods_s[name] = sum(rated.values()) / rate_hz if rate_hz else None
        self._runner.send_message(BEGIN, periods_s)

    def open(self) -> None:
        """Let the window begin."""
        self.stage = Stage.WINDOW
        self._mark("open")
        self._opened_s = time.monotonic()
        self._runner.send_message(OPEN)

    def sample(self) -> None:
        """Take a sample of the server every second, for ever."""
        while True:
            gevent.sleep(SAMPLE_INTERVAL_S)
            self._sampler.sample()

    def close(self) -> None:
        """Let the window end, and wait for what is still to come."""
        self.stage = Stage.LAST_REPLIES
        self._runner.send_message(CLOSE)
        self._window_s = time.monotonic() - self._opened_s
        self._mark("close")
        give_up_s = time.monotonic() + self._plan.deadline_s + REPORT_LIMIT_S
        while not self._workers & self._present() <= self._usage.keys():
            if (left_s := give_up_s - time.monotonic()) <= 0:
                break
            self._changed.wait(min(left_s, 1.0))  # and look again who is there
            self._changed.clear()
        self._mark("loaded", proportional=True)

    def established(self) -> dict[str, int]:
        """Return how many connections there are, by class."""
        return dict(sum((Counter(counts) for counts in self._established.values()), Counter()))

    def observation(self) -> Observation:
        """Return all that has been seen."""
        trouble = self.trouble
        if not trouble and not self._window_s:
            trouble = f"it was ended before the window, in: {self.stage}"
        if not trouble and len(self._sampler.servers) > 1:
            trouble = f"one server took the place of another: {', '.join(self._sampler.servers)}"
        if not trouble and len(self._usage) > self._plan.workers:
            trouble = f"{len(self._usage)} workers made load, expected {self._plan.workers}"
        missing = sorted(self._workers - self._usage.keys()) if self._window_s else []
        lost = self._plan.workers - len(self._workers)
        if self._window_s and lost > 0:
            missing += [f"{lost} of {self._plan.workers} that never came"]
        return Observation(
            plan=replace(self._plan),
            established=self.established(),
            window_s=self._window_s,
            records=sorted(self._records, key=lambda record: record["from_s"]),
            usage=self._usage,
            seconds=self._seconds,
            samples=self._sampler.samples,
            marks=self._marks,
            missing=missing,
            sampling_cpu_s=self._sampler.cpu_s,
            conditions=self._sampler.conditions,
            trouble=trouble,
            without_reply=dict(self._without_reply),
        )

    def _mark(self, name: str, proportional: bool = False) -> None:
        self._marks[name] = self._sampler.sample(proportional)

    def _present(self) -> set[str]:
        if isinstance(self._runner, MasterRunner):
            return {
                client.id
                for client in (*self._runner.clients.running, *self._runner.clients.spawning)
            }
        return {"local"}
