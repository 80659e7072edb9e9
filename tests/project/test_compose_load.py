"""docker compose with a real engine: Locust, the comparison, the dashboard, and other hosts."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtest.bundle.read import read_bundle
from loadtest.bundle.state import FINISHED
from loadtest.host.cores import numbers_in
from tests.support import compose
from tests.support.commands import ROOT, folder_of
from tests.support.compose import OWNER, Project, docker, status_fields
from tests.support.locust_page import LocustPage
from tests.support.running import DEADLINE_S, wait_until

pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.xdist_group("compose_load"),  # beside test_compose, in a project of its own
    pytest.mark.skipif(bool(compose.MISSING), reason=compose.MISSING or "an engine runs"),
]

SCALING_OUT = (ROOT / "docs" / "scaling-out.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh (.+)\n((?:.*\n)*?)```$", SCALING_OUT, re.MULTILINE)


@pytest.fixture
def up(project: Project) -> Iterator[Project]:
    """Return the project with nothing running; end what the test has started."""
    yield project
    project.down()


def page_of(project: Project) -> LocustPage:
    host, port = project.port("locust", 8089)
    return LocustPage(f"http://{host}:{port}")


def test_locust_with_two_workers_loads_the_running_variant(up: Project, owned: Path) -> None:
    up.run("up", "--wait", "--no-build", "gevent", "locust", "--scale", "locust-worker=2")
    assert up.services() == {"gevent", "locust", "locust-worker"}
    page = page_of(up)
    wait_until(lambda: len(page.statistics()["workers"]) == 2, "two workers")
    assert page.host() == "http://gevent:8000"
    for status in of_locust(up):
        assert status["CapEff"] == "0" * 16
        assert os.cpu_count() == 1 or 0 not in numbers_in(status["Cpus_allowed_list"])
    assert up.inspect("gevent")["HostConfig"]["CpusetCpus"] == "0"

    page.start(20, host="http://gevent:8000", rate=200, warmup=0)
    # Without a warm-up the window is open before the 21st reply, however busy the machine is.
    wait_until(lambda: total(page.statistics()) >= 200, "replies")
    page.stop()
    wait_until(lambda: len([*owned.glob("*-locust/cell.json")]) == 1, "a result")
    (cell,) = [*owned.glob("*-locust/cell.json")]
    result = json.loads(cell.read_text("utf-8"))
    assert result["target"] == "http://gevent:8000"
    assert len(result["generators"]) == 2
    assert result["classes"]["Hello"]["errors"] == {} and result["classes"]["Hello"]["requests"] > 0
    assert result["cpu_us_per_request"] > 0  # from its /metrics, across the network
    assert {cell.stat().st_uid, cell.parent.stat().st_uid} == {OWNER}


def of_locust(project: Project) -> list[dict[str, str]]:
    """Return the status fields of the master and its workers, from the kernel."""
    containers = [project.id("locust"), *project.id("locust-worker").split()]
    processes = [status_fields(container) for container in containers]
    found = [
        {arg: status for arg, status in one.items() if arg.startswith("python")}
        for one in processes
    ]
    assert [len(one) for one in found] == [1, 1, 1]
    return [status for one in found for status in one.values()]


def total(statistics: dict[str, Any]) -> int:
    (aggregated,) = (one for one in statistics["stats"] if one["name"] == "Aggregated")
    assert aggregated["num_failures"] == 0
    return int(aggregated["num_requests"])


def test_a_worker_whose_master_has_gone_finds_the_next_one(up: Project) -> None:
    up.run("up", "--wait", "--no-build", "locust")
    before = {worker["id"] for worker in page_of(up).statistics()["workers"]}
    up.run("restart", "locust")
    page = page_of(up)

    def another_is_there() -> bool:
        try:
            return bool({worker["id"] for worker in page.statistics()["workers"]} - before)
        except OSError:  # the page is not up again
            return False

    wait_until(another_is_there, "another worker")


def test_a_load_whose_variant_is_replaced_is_invalid(up: Project, owned: Path) -> None:
    up.run("up", "--wait", "--no-build", "gevent", "locust")
    page = page_of(up)
    wait_until(lambda: len(page.statistics()["workers"]) == 1, "a worker")
    before = {*owned.glob("*-locust")}
    page.start(5, host="http://gevent:8000", rate=50)
    wait_until(lambda: total(page.statistics()) >= 50, "replies")
    up.run("rm", "--stop", "--force", "gevent")
    up.run("up", "--wait", "--no-build", "uvloop")  # the engine gives it the same address
    served = int(page.statistics()["stats"][-1]["num_requests"])
    wait_until(lambda: int(page.statistics()["stats"][-1]["num_requests"]) > served + 50, "more")
    page.stop()
    (folder,) = {*owned.glob("*-locust")} - before
    verdict = json.loads((folder / "cell.json").read_text("utf-8"))["verdict"]
    assert verdict["name"] in ("invalid", "errors"), verdict


def test_two_variants_are_never_mixed_behind_one_name(up: Project) -> None:
    up.run("up", "--wait", "--no-build", "asyncio", "locust")
    page = page_of(up)
    assert page.host() == "http://asyncio:8000"
    up.run("up", "--wait", "--no-build", "uvloop")
    assert page.host() == "http://asyncio:8000"  # it still runs, so the host stays
    up.run("rm", "--stop", "--force", "asyncio")
    assert page.host() == "http://uvloop:8000"
    up.run("rm", "--stop", "--force", "uvloop")
    assert page.host() == "http://no-variant-runs:8000"
    up.run("up", "--wait", "--no-build", "asyncio", "uvloop")
    assert page.host() == "http://asyncio-or-uvloop:8000"  # no host: the user has to choose


def test_the_comparison_runs_in_a_container_and_its_results_get_the_folders_owner(
    up: Project, owned: Path
) -> None:
    ended = up.run(
        "run", "--rm", "-T", "compare", "--models=gevent,uvloop", "--scenarios=hello",
        "--connections=10", "--loads=rate", "--repeats=1", "--duration=0.5", "--warmup=0.2",
    )  # fmt: skip
    assert up.services() == set()
    folder = folder_of(ended.stdout)
    assert folder.parent == owned  # its path outside the container
    bundle = read_bundle(folder)
    assert bundle.state.state == FINISHED and bundle.state.failed == {} == bundle.broken
    assert bundle.about.commit == "c0ffee"
    assert (folder / "report.html").exists()
    assert {path.stat().st_uid for path in (folder, *folder.rglob("*"))} == {OWNER}

    up.run("up", "--wait", "--no-build", "dashboard")
    assert up.services() == {"dashboard"}
    host, port = up.port("dashboard", 8090)
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=DEADLINE_S) as reply:
        assert folder.name in reply.read().decode()


def test_the_doctor_reports_what_the_host_does_not_allow(project: Project) -> None:
    # More than any host allows: a container with that limit would not even start.
    ended = project.run("run", "--rm", "-T", "doctor", status=1, DESCRIPTORS="2000000000")
    (descriptors,) = (row for row in ended.stdout.splitlines() if "descriptors per" in row)
    assert "PROBLEM" in descriptors and "DESCRIPTORS=" in descriptors
    assert re.search(r"accept queue.* ok ", ended.stdout)


@contextmanager
def hosts(project: Project) -> Iterator[dict[str, str]]:
    """Start a container for each host of scaling-out.md; return name -> container."""
    network = f"{project.name}-hosts"
    docker("network", "create", network)
    containers = {}
    try:
        for name in dict.fromkeys(" ".join(names for names, _ in BLOCKS).split()):
            containers[name] = docker(
                "run", "--detach", "--rm", "--init", f"--network={network}", f"--hostname={name}",
                f"--network-alias={name}", "--ulimit=nofile=20000", "--entrypoint=sleep",
                project.image("locust"), "600",
            ).strip()  # fmt: skip
        yield containers
    finally:
        for container in containers.values():
            docker("rm", "--force", container)
        docker("network", "rm", network)


def test_every_command_of_scaling_out_runs_as_written(project: Project) -> None:
    with hosts(project) as containers:
        assert [*containers] == ["server", "load-1", "load-2", "lead"]
        *others, (lead, command) = BLOCKS
        for names, block in others:
            for name in names.split():
                docker("exec", "--detach", containers[name], "sh", "-c", block)
        serving = (
            "import urllib.request as u; [u.urlopen(f'http://server:{p}/') for p in (8001, 8002)]"
        )
        wait_until(lambda: answers(containers["load-1"], serving), "both servers")
        assert "report.html" in docker("exec", containers[lead], "sh", "-c", command)
        shown = "cat results/*/*/cell.json"
        cells = docker("exec", containers[lead], "sh", "-c", shown).replace("}\n{", "},\n{")
    results = json.loads(f"[{cells}]")
    assert len(results) == 2 * 3  # repeats x (two contenders and a twin)
    for result in results:
        assert len(result["generators"]) == 2
        assert result["held_share"] > 0.9


def answers(container: str, code: str) -> bool:
    try:
        docker("exec", container, "python", "-c", code)
    except AssertionError:  # not yet
        return False
    return True
