"""A failure in the meter ends the cell with its reason in one line: the cell never hangs."""

import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bundle.write import summarise
from loadtest.control import sampling
from loadtest.host.cores import Cores
from loadtest.measure.result import result_of
from loadtest.running import cell
from loadtest.running.calibration import load
from loadtest.running.fork_server import Forked
from loadtest.running.target import CellError, Target
from tests.support.bundles import Cell, matrix, observation
from tests.support.commands import LIMIT_S, ROOT, free_port, run
from tests.support.driving import answering
from tests.support.running import DEADLINE_S, Server

LOADTEST = [sys.executable, "-m", "loadtest"]
LOCUST = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--users=4", "--rate=40"]
LOCUST += ["--spawn-rate=4", "--warmup=0.1", "--window=1"]
BOOM = "[/srv/app] boom"

SITES = {
    "the start of a test": "control.test_run:TestRun.start",
    "the greenlet of the phases": "control.phase_controller:PhaseController.open",
    "the sampling": "control.sampling:Sampler.sample",
    "the observation": "control.phase_controller:PhaseController.observation",
    "a connection": "client.channel:Channel.wake",
    "the begin of the load": "client.load_process:LoadProcess.begin",
    "each second": "client.load_process:LoadProcess.every_second",
    "the end of the load": "client.load_process:LoadProcess.finish",
}
WORKERS_SITE = "client.load_process:LoadProcess.close"

LOCUSTFILE = """\
import importlib
from loadtest import plugin
from loadtest.scenarios import Hello
def boom(*_, **__):
    raise RuntimeError({boom!r})
module, _, name = {site!r}.partition(":")
owner, _, name = name.rpartition(".")
module = importlib.import_module("loadtest." + module)
if owner:
    setattr(getattr(module, owner), name, boom)
else:
    importlib.import_module("loadtest.client.load_process").usage_of_self = boom
"""


def ended_by(site: str, server: Server, folder: Path, *flags: str) -> tuple[str, int, str]:
    """Run Locust with a function that raises; return the function, the status and the log."""
    folder.mkdir()
    path = folder / "locustfile.py"
    path.write_text(LOCUSTFILE.format(site=site, boom=BOOM))
    assert server.http is not None
    host = f"--host=http://{server.http[0]}:{server.http[1]}"
    argv = [*LOCUST, "-f", str(path), host, f"--cell={folder / 'cell'}", *flags]
    ended = run(argv)
    return site, ended.returncode, ended.stderr


def test_an_exception_ends_the_test_with_its_reason(any_server: Server, tmp_path: Path) -> None:
    jobs: list[tuple[str, Path, list[str]]] = [
        (site, tmp_path / str(number), []) for number, site in enumerate(SITES.values())
    ]
    port = free_port()
    flags = ["--processes=2", f"--master-bind-port={port}", f"--master-port={port}"]
    jobs.append((WORKERS_SITE, tmp_path / "workers", flags))
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(ended_by, site, any_server, at, *flags) for site, at, flags in jobs]
        for future in futures:
            site, status, errors = future.result()
            assert status == 1, (site, errors)
            lines = re.findall(r"/loadtest: failed: (.*)", errors)
            assert lines and {*lines} == {f"RuntimeError: {BOOM}"}, (site, errors)
    cells = [path for _, at, _ in jobs if (path := at / "cell" / "cell.json").exists()]
    assert len(cells) >= len(jobs) - 3  # not where it fails before, or in what is to be kept
    for path in cells:
        verdict = json.loads(path.read_text("utf-8"))["verdict"]
        assert verdict == {"name": "invalid", "why": f"RuntimeError: {BOOM}"}, path


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe", b"# \xff\nserver_info{model=\xff", b"server_info{", b"server_info{model=",
        b"server_info{model=\"x\"} ", b'server_cpu_seconds_total{mode="user"} x',
        b'server_cpu_seconds_total{mode="user"} NaN', b'server_cpu_seconds_total{mode="user"} 1',
        b"server_processes Inf", b"server_processes 1e999", b"server_limit{name=\"descriptors\"}",
        b"server_threads 1 2 3 4", b"\0" * 100, b"server_processes" + b"{" * 1000, b"<html>",
    ],
)  # fmt: skip
def test_text_without_our_metrics_is_no_sample(text: bytes) -> None:
    assert sampling.parsed(text) == {}
    assert sampling.conditions(text) == {}
    assert [*sampling.models(text)] == []


def test_metrics_that_never_end_are_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trickle(sock: socket.socket, number: int) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            sock.sendall(b"#" * 100)

    monkeypatch.setattr(sampling, "SCRAPE_LIMIT_S", 0.2)
    with answering(trickle) as address:
        assert not sampling.Sampler(address, None).says


def test_text_from_outside_is_no_markup_in_a_summary(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wanted = matrix()
    seen = observation(wanted, wanted.cells()[0], Cell())
    seen = replace(seen, trouble=BOOM, plan=replace(seen.plan, target=f"http://{BOOM}"))
    summarise(result_of(seen), tmp_path / BOOM)
    assert BOOM in capsys.readouterr().err


@pytest.mark.parametrize("hangs", ["import time; time.sleep(600)", "import os; os.abort()"])
def test_a_generator_that_hangs_or_dies_is_ended_by_its_parent(
    hangs: str, any_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locustfile.py").write_text(hangs)
    monkeypatch.setattr(cell, "_LOCUSTFILE", tmp_path / "locustfile.py")
    monkeypatch.setattr(cell.Load, "limit_s", 3.0)
    assert any_server.http is not None
    target = Target("x", f"http://{any_server.http[0]}:{any_server.http[1]}")
    why = "had not ended after 3 s" if "sleep" in hangs else "the generator failed: "
    with pytest.raises(CellError, match=why):
        cell.run_target(target, load(10.0, 0.5), Cores.halves(), tmp_path, lambda _: None)


def test_locust_keeps_its_cell_when_its_output_is_a_broken_pipe(
    any_server: Server, tmp_path: Path
) -> None:
    assert any_server.http is not None
    host = f"--host=http://{any_server.http[0]}:{any_server.http[1]}"
    argv = [*LOCUST, "-f", "loadtest/locustfile.py", host, f"--cell={tmp_path}", "Hello"]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        argv, cwd=ROOT, stdout=writer, stderr=writer, timeout=LIMIT_S, check=False
    )
    os.close(writer)
    assert ended.returncode == 0
    assert json.loads((tmp_path / "cell.json").read_text("utf-8"))["window_s"] >= 1


def test_a_process_that_ended_before_its_pidfd_was_opened_counts_as_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        forked = Forked(process.pid)
        assert forked.poll() == 0 and forked.wait(DEADLINE_S) == 0
        forked.terminate()
        forked.kill()


@pytest.mark.parametrize(
    "metrics",
    [b'server_cpu_seconds_total{mode="user"} 1\n', b"# \xff\nserver_processes NaN\nserver_info{"],
)
def test_a_target_with_odd_metrics_is_measured_without_its_cost(
    metrics: bytes, tmp_path: Path
) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(metrics), metrics)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        argv = [*LOCUST, "-f", "loadtest/locustfile.py", f"--cell={tmp_path}", "Get"]
        ended = run([*argv, f"--host=http://127.0.0.1:{server.server_address[1]}"])
        server.shutdown()
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "cell.json").read_text("utf-8"))
    assert found["classes"]["Get"]["requests"] > 0 and found["server_cpu"] is None
