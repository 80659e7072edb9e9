"""Controls the phases of one load, and collects what all processes have measured.

It runs in Locust's master, or in the only process. The phases: connect (until every connection has
a first reply), warm up (at the full rate), window, last replies.
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
from loadtest.measure.wording import counted

SAMPLE_INTERVAL_S = 1.0


class PhaseController:
    """Controls the phases of one load.

    Args:
        environment: Locust's.
        plan: What the cell is meant to be.
        shares_hz: User class -> the rate of each of its users; None: the common rate.
        quiet: The classes that only hold their connections.
        sampler: Samples server and kernel.

    Attributes:
        trouble: Why there will be no result; "" while nothing has failed.
        stage: The last one that has begun.
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

    # -- from the load processes -------------------------------------------------------------

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
        """Sample the server before there is any connection, as the base for its memory."""
        self._sampler.sample(proportional=True)  # a first sample costs the server memory
        self._mark("idle", proportional=True)

    def change_users(self) -> None:
        """Note that the users have changed during the test, which spoils its result."""
        self.trouble = "users were added, removed or moved during the test; start another test"

    def forget_connections(self) -> None:
        """Drop what load processes have reported; they report it again."""
        self._established.clear()
        self._failures.clear()

    def connect(self) -> bool:
        """Wait until every connection has had a right reply; return whether all have.

        It gives up when the time is over, when no further connection has had a reply for as long as
        a server may be silent, or when every connection has had a wrong reply twice.
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
            failures = merged(chain.from_iterable(self._failures.values()))
            final = sum(kind.connections for kind in failures if kind.final)
            if final >= wanted or now_s >= give_up_s:
                kinds = with_silence(failures, wanted - now)
                for kind in kinds:
                    self._without_reply[kind.name] += kind.connections
                self.trouble = (
                    f"{now:,} of {counted(wanted, 'connection')} had a right reply after"
                    f" {now_s - begin_s:.0f} s; {described(kinds)}"
                )
                return False
            self._changed.wait(give_up_s - now_s)
            self._changed.clear()
        if without := sorted(self._shares_hz.keys() - self.established().keys()):
            self.trouble = f"{wanted:,} users, none of them of class {', '.join(without)}"
        return not without

    def begin(self) -> None:
        """Begin the warm-up: let all connections make requests."""
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
        """Open the window."""
        self.stage = Stage.WINDOW
        self._mark("open")
        self._opened_s = time.monotonic()
        self._runner.send_message(OPEN)

    def sample(self) -> None:
        """Sample server and kernel every second, until the greenlet is killed."""
        while True:
            gevent.sleep(SAMPLE_INTERVAL_S)
            self._sampler.sample()

    def close(self) -> None:
        """Close the window, and wait until every load process has finished."""
        self.stage = Stage.LAST_REPLIES
        self._runner.send_message(CLOSE)
        self._window_s = time.monotonic() - self._opened_s
        self._mark("close")
        give_up_s = time.monotonic() + self._plan.deadline_s + REPORT_LIMIT_S
        while not self._workers & self._present() <= self._usage.keys():
            if (left_s := give_up_s - time.monotonic()) <= 0:
                break
            self._changed.wait(min(left_s, 1.0))  # then look again which processes are left
            self._changed.clear()
        self._mark("loaded", proportional=True)

    def established(self) -> dict[str, int]:
        """Return the connections with a right first reply, by class."""
        return dict(sum((Counter(counts) for counts in self._established.values()), Counter()))

    def observation(self) -> Observation:
        """Return everything that was measured."""
        trouble = self.trouble
        if not trouble and not self._window_s:
            trouble = f"the test was stopped before the window, in stage: {self.stage}"
        if not trouble and len(self._sampler.servers) > 1:
            trouble = f"another server took over the address: {', '.join(self._sampler.servers)}"
        if not trouble and len(self._usage) > self._plan.workers:
            trouble = f"{len(self._usage)} workers made load, expected {self._plan.workers}"
        missing = sorted(self._workers - self._usage.keys()) if self._window_s else []
        lost = self._plan.workers - len(self._workers)
        if self._window_s and lost > 0:
            missing += [f"{lost} of {self._plan.workers} that never connected"]
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
