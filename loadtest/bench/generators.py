"""Requests of this package's users and of Locust's FastHttpUser: in turn, on the same cores."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.cost import Spread
from loadtest.bench.serving import serving
from loadtest.host.cores import Cores
from loadtest.measure.process_usage import cpu_s_of_tree
from loadtest.running.processes import last_line, running
from loadtest.running.target import CellError

USERS = 64
RATIO_MIN = 4.0
RATIO_AIM = 6.0

START_S = 3.0
"""From Locust's start until all users send: its imports take 2 s."""

WINDOW_MIN_S = 3.0
"""Locust counts by the seconds of the clock: only so long a window surely holds a whole one, with a
second at either end to spare."""

_ROOT = Path(__file__).parent.parent
_OURS, _FAST = "ours", "FastHttpUser"
_FILES = {
    _OURS: (_ROOT / "locustfile.py", "Hello"),
    _FAST: (_ROOT / "bench" / "fasthttp.py", "FastHello"),
}


@dataclass(frozen=True)
class Sent:
    """The result of one generator in one round.

    Attributes:
        rate_hz: Right replies per second.
        cpu_share: Share of one core that the generator used.
        error: The reason if there is no result; else "".
    """

    name: str
    round_number: int
    rate_hz: float = 0.0
    cpu_share: float = 0.0
    error: str = ""

    @property
    def per_core_hz(self) -> float:
        """Requests per second of CPU time."""
        return self.rate_hz / self.cpu_share


def send(name: str, round_number: int, duration_s: float, cores: Cores, folder: Path) -> Sent:
    """Let a generator send flat out; after a failure, return a Sent with its reason."""
    file, users = _FILES[name]
    window_s = max(duration_s, WINDOW_MIN_S)
    log = folder / f"{name}-{round_number}.log"
    try:
        with serving(
            "uvloop", cores.server[:1], folder / f"{name}-{round_number}-server.log"
        ) as server:
            command = [
                sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary",
                "--json", f"--users={USERS}", f"--spawn-rate={USERS}",
                f"--run-time={START_S + window_s + 1:.0f}s",
                f"--host=http://{server.address.host}:{server.address.port}", users,
            ]  # fmt: skip
            if name == _OURS:
                command.insert(-1, f"--cell={folder / f'{name}-{round_number}'}")
            with running(command, cores.generator[:1], log) as locust:
                time.sleep(START_S)
                start_s, start_cpu_s = time.time(), cpu_s_of_tree(locust.pid)
                time.sleep(window_s)
                end_s, end_cpu_s = time.time(), cpu_s_of_tree(locust.pid)
                output, _ = locust.communicate(timeout=60)
                if locust.returncode:
                    raise CellError(f"{name}: {last_line(log)}")
        rate_hz = rate_in(output, start_s, end_s)
    except subprocess.TimeoutExpired:  # the next round may succeed
        return Sent(name, round_number, error=f"{name} had not ended in time: {last_line(log)}")
    except CellError as error:  # the next round may succeed
        return Sent(name, round_number, error=str(error))
    return Sent(
        name,
        round_number,
        rate_hz=rate_hz,
        cpu_share=(end_cpu_s - start_cpu_s) / (end_s - start_s),
    )


def rate_in(output: str, start_s: float, end_s: float) -> float:
    """Return the rate in the whole seconds of an interval, from Locust's JSON output.

    Raises:
        CellError: No request was counted in it.
    """
    (entry,) = json.loads(output)
    counts = [
        count
        for second, count in entry["num_reqs_per_sec"].items()
        if start_s <= int(second) - 1 and int(second) + 1 <= end_s
    ]
    if not counts:
        raise CellError("Locust counted no requests")
    return float(sum(counts) / len(counts))


def ratio(sent: Iterable[Sent]) -> Spread | None:
    """Return the ratio of requests per second of CPU, ours to Locust's, within each round."""
    by = {(one.name, one.round_number): one.per_core_hz for one in sent if not one.error}
    return Spread.of(
        [
            rate / by[_FAST, number]
            for (name, number), rate in by.items()
            if name == _OURS and (_FAST, number) in by
        ]
    )


NAMES = tuple(_FILES)
