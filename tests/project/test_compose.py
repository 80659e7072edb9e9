"""docker compose with a real engine: the images, and the variants."""

import json
import resource
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from servers import __version__
from servers.registry import MODELS
from servers.sockets.kernel import reset_on_close
from tests.support import compose
from tests.support.commands import free_port
from tests.support.compose import BASE, Project, docker, status_fields
from tests.support.running import DEADLINE_S, read_to_end, wait_until

pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.xdist_group("compose"),  # one build serves all its tests
    pytest.mark.skipif(bool(compose.MISSING), reason=compose.MISSING or "an engine runs"),
]

MB = 1_000_000
NS_PER_S = 1_000_000_000
REQUEST = b"GET /wait?ms=5000 HTTP/1.1\r\nHost: a\r\nX-Padding: " + 7000 * b"x" + b"\r\n\r\n"


@pytest.fixture(scope="module")
def variant(project: Project, model: str) -> Iterator[Project]:
    """Return the project with one variant running, named by the environment as .env names it."""
    project.run("up", "--wait", "--no-build", VARIANT=model)
    assert project.services() == {model}
    yield project
    project.run("rm", "--stop", "--force", model)


def image(project: Project, service: str) -> Any:
    return json.loads(docker("image", "inspect", project.image(service)))[0]


@pytest.mark.parametrize(("service", "most_mb"), [("gevent", 90), ("locust", 400)])
def test_an_image_is_small_and_labelled(project: Project, service: str, most_mb: int) -> None:
    base = json.loads(docker("image", "inspect", BASE))[0]["Size"]
    built = image(project, service)
    assert built["Size"] - base <= most_mb * MB
    labels = built["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == "c0ffee"
    assert built["Config"]["User"] not in ("", "root", "0")
    assert built["Config"]["StopSignal"] == "SIGTERM"


@pytest.mark.parametrize("service", ["gevent", "locust"])
def test_an_image_has_no_compiler_and_no_cache(project: Project, service: str) -> None:
    looks = (
        "command -v cc gcc make pip /opt/venv/bin/pip; ls -A /root /tmp; find / -xdev -name '*.whl'"
    )
    run = ["run", "--rm", "--network=none", "--user=root", "--entrypoint=sh"]
    found = docker(*run, project.image(service), "-c", f"{looks}; true").split()
    of_base = docker(*run, BASE, "-c", f"{looks}; true").split()
    assert set(found) <= set(of_base)


def test_docker_compose_accepts_the_configuration_without_a_warning(project: Project) -> None:
    ended = project.run(
        "--profile=all", "--profile=compare", "--profile=doctor", "config", "--quiet"
    )
    assert ended.stderr == ended.stdout == ""


def test_a_slow_machine_has_a_minute_before_a_service_counts_as_unhealthy(project: Project) -> None:
    # Locust's page was unhealthy after 3 s on a busy machine, and "up --wait" gave up.
    configuration = json.loads(project.run("--profile=all", "config", "--format=json").stdout)
    checks = {
        name: service["healthcheck"]["start_period"]
        for name, service in configuration["services"].items()
        if "healthcheck" in service
    }
    assert checks == dict.fromkeys([*MODELS, "locust", "dashboard"], "1m0s")
    assert image(project, "gevent")["Config"]["Healthcheck"]["StartPeriod"] == 60 * NS_PER_S


def test_a_bare_up_starts_the_variant_that_env_names(project: Project, model: str) -> None:
    named = project.run("config", "--services", VARIANT=model).stdout.split()
    assert sorted(named) == sorted(["anchor", model])


def test_a_variant_is_healthy_and_speaks_both_protocols(variant: Project, model: str) -> None:
    assert variant.inspect(model)["State"]["Health"]["Status"] == "healthy"
    host, port = variant.port(model, 8000)
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=DEADLINE_S) as reply:
        assert f'model="{model}"' in reply.read().decode()
    with socket.create_connection(variant.port(model, 7000), DEADLINE_S) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b"hello"


def test_a_variant_has_no_privileges_and_a_read_only_root(variant: Project, model: str) -> None:
    for status in status_fields(variant.id(model)).values():
        assert "0" not in status["Uid"].split()
        assert {status[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Bnd")} == {""}
        assert status["NoNewPrivs"] == "1"
    host = variant.inspect(model)["HostConfig"]
    assert host["ReadonlyRootfs"] and not host["Privileged"]
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits["nofile"] == (20_000, 20_000)
    assert host["Sysctls"]["net.core.somaxconn"] == "4096"
    refused = variant.run("exec", "-T", model, "sh", "-c", "echo > /app/x", status=2)
    assert "Read-only file system" in refused.stderr


def test_a_stopped_variant_answers_every_request_in_flight(variant: Project, model: str) -> None:
    host = variant.address(model)
    socks = [socket.create_connection((host, 8000), DEADLINE_S) for _ in range(50)]
    for sock in socks:
        sock.sendall(REQUEST)
    # The padding makes each request so large that the scrapes themselves do not count.
    wait_until(
        lambda: metric(host, "server_received_bytes_total", "http") >= 50 * len(REQUEST),
        "requests at the server",
    )
    with variant.start("stop", model) as stopping:
        replies = [read_to_end(sock) for sock in socks]
        assert stopping.wait(DEADLINE_S) == 0
    for sock in socks:
        sock.close()
    assert all(reply.startswith(b"HTTP/1.1 200 ") for reply in replies)
    assert all(b"\r\nConnection: close\r\n" in reply for reply in replies)
    assert all(reply.endswith(b"waited 5000 ms\n") for reply in replies)
    assert variant.inspect(model)["State"]["ExitCode"] == 0


def metric(host: str, name: str, protocol: str) -> float:
    with urllib.request.urlopen(f"http://{host}:8000/metrics", timeout=DEADLINE_S) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels["protocol"] == protocol:
                    return sample.value
    raise AssertionError(f"{name} of {protocol} is not counted")


@pytest.mark.parametrize("how", ["down", "stop"])
def test_a_plain_down_or_stop_ends_every_service_and_then_another_variant_starts(
    project: Project, how: str
) -> None:
    # Compose itself ends only the services of active profiles: of the variant that .env names.
    ports = {"HTTP_PORT": str(free_port()), "ECHO_PORT": str(free_port())}
    project = replace(project, env={**project.env, **ports})
    project.run("up", "--wait", "--no-build", "uvloop", "dashboard")
    host = project.address("uvloop")
    with socket.create_connection((host, 8000), DEADLINE_S) as sock:
        sock.sendall(REQUEST)
        wait_until(
            lambda: metric(host, "server_received_bytes_total", "http") >= len(REQUEST),
            "the request at the server",
        )
        with project.start(how) as ending:
            assert read_to_end(sock).endswith(b"waited 5000 ms\n")
            _, errors = ending.communicate(timeout=DEADLINE_S)
            assert ending.returncode == 0, errors
    assert project.services() == set()
    assert project.inspect("uvloop")["State"]["ExitCode"] == 0
    for variant in ("gevent", "uvloop"):  # the variant that .env names, and the same one again
        project.run("up", "--wait", "--no-build", variant)
        assert project.services() == {variant}
        project.run(how)
    project.down()


def test_a_killed_variant_is_restarted(project: Project) -> None:
    project.run("up", "--wait", "--no-build", "uvloop")
    before = project.inspect("uvloop")["State"]["Pid"]
    # Kill every process of this user; the anchor has another. Detached, since the shell dies, too.
    docker("exec", "--detach", project.id("uvloop"), "sh", "-c", "kill -9 -1")
    wait_until(lambda: project.inspect("uvloop")["State"]["Pid"] not in (0, before), "a new one")
    wait_until(lambda: is_healthy(project, "uvloop"), "its health")
    assert project.inspect("uvloop")["RestartCount"] == 1
    project.run("rm", "--stop", "--force", "uvloop")


def is_healthy(project: Project, service: str) -> bool:
    return bool(project.inspect(service)["State"]["Health"]["Status"] == "healthy")


def test_a_usage_error_reaches_the_terminal(project: Project) -> None:
    ended = project.run("run", "--rm", "-T", "gevent", "gevent", "--backlog=x", status=2)
    assert "expected a whole number" in ended.stderr + ended.stdout


def test_a_variant_holds_10_000_connections(project: Project) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11_000:
        pytest.skip(f"our own side needs 11,000 descriptors, and may have {hard:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    project.run("up", "--wait", "--no-build", "uvloop")
    host = project.address("uvloop")
    # Over echo: its idle timeout suits a slow machine, and no health check uses it.
    with ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection((host, 7000), DEADLINE_S))
            for _ in range(10_000)
        ]
        for sock in socks:
            reset_on_close(sock)  # 10,000 ports in TIME_WAIT would make later connects slow
            sock.sendall(b"x")
        assert all(sock.recv(1) == b"x" for sock in socks)
        assert metric(host, "server_open_connections", "echo") == 10_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    project.run("rm", "--stop", "--force", "uvloop")
