"""The load of one cell, in a process of its own: python -m loadtest.generator.

One line of JSON in, a Load; one out, a Measurement. All users connect and have a first reply before
anything is counted; then comes the window, with the server's metrics scraped at both its ends.
"""

import gc
import json
import resource
import sys
import time
from array import array
from collections import Counter
from dataclasses import asdict

import gevent
from gevent.event import Event
from locust.env import Environment  # it patches the modules that those below use
from prometheus_client.parser import text_string_to_metric_families

from loadtest.cell import WARM_UP_S, Load, Measurement
from loadtest.clients import HTTPClient
from loadtest.scenarios import SCENARIOS, Echo, Pace, http_address

SETTLE_S = 0.2
"""From the first turn to the window: the longest request takes 50 ms."""


class Meter:
    """Takes down the requests that end while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.service_times_ms = array("d")
        self.errors: Counter[str] = Counter()
        self.warm_up_errors: Counter[str] = Counter()

    def take(self, response_time: float, exception: Exception | None, **_: object) -> None:
        """Listen to Locust's request event."""
        if exception is not None:
            errors = self.errors if self.on else self.warm_up_errors
            errors[type(exception).__name__] += 1
        elif self.on:
            self.service_times_ms.append(response_time)


def generate(load: Load) -> Measurement:
    """Put a load on a server and return what came of it."""
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    scenario = SCENARIOS[load.scenario]
    scenario.host = load.http_host
    scenario.pace = Pace(load.rate_hz, load.connections, begun=Event())
    Echo.echo_host = load.echo_host
    environment = Environment(user_classes=[scenario])
    runner = environment.create_local_runner()
    meter = Meter()
    environment.events.request.add_listener(meter.take)  # type: ignore[no-untyped-call]

    with HTTPClient(http_address(load.http_host)) as observer:

        def scrape(query: str = "") -> bytes:
            return observer.get("/metrics" + query, expected=None)

        scrape("?memory=pss")  # the first one costs the server memory of its own
        scrapes = {"idle": scrape("?memory=pss")}

        users = runner.spawn_users({scenario.__name__: load.connections})
        late = TimeoutError(f"not every user had a reply within {WARM_UP_S:g} s")
        with gevent.Timeout(WARM_UP_S, late):
            for user in users:
                user.first_reply.wait()
        gc.collect()
        gc.freeze()  # the users are here to stay: no collection need look at them again
        scenario.pace.begun.set()
        gevent.sleep(SETTLE_S)

        scrapes["start"] = scrape()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        meter.on = True
        gevent.sleep(load.duration_s)
        meter.on = False
        window_s = time.perf_counter() - start_s
        cpu_s = time.process_time() - start_cpu_s
        scrapes["end"] = scrape()
        scrapes["open"] = scrape("?memory=pss")

    return Measurement(
        window_s=window_s,
        service_times_ms=meter.service_times_ms.tolist(),
        errors=meter.errors,
        warm_up_errors=meter.warm_up_errors,
        generator_cpu_s=cpu_s,
        metrics={when: samples(text) for when, text in scrapes.items()},
    )


def samples(text: bytes) -> dict[str, float]:
    """Return the samples of a Prometheus text: ``name{label values}`` -> value."""
    by_name = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            by_name[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return by_name


if __name__ == "__main__":
    json.dump(asdict(generate(Load(**json.loads(sys.stdin.readline())))), sys.stdout)
