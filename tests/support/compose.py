"""Docker's engine, and docker compose as a user calls it, in a project of this test run's own."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.registry import MODELS
from tests.support.commands import ROOT

OWNER = 12345 if os.getuid() == 0 else os.getuid()
"""The owner of the folder of results: neither root nor the images' own user."""

BASE = "python:3.13-slim"

LIMIT_S = 300
"""For a build without a cache, while other tests run."""


def _missing() -> str:
    """Return why Docker cannot be used here; "" if it can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for argv in (["docker", "info"], ["docker", "compose", "version"]):
        if subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode != 0:
            return f"no answer to: {' '.join(argv)}"
    return ""


MISSING = _missing()


@dataclass
class Project:
    """A docker compose project of this repository, apart from one that a user may have running.

    Attributes:
        name: Of the project.
        env: Knobs, in place of those in ``.env``.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self, *argv: str, **env: str) -> "subprocess.Popen[str]":
        """Start docker compose."""
        return subprocess.Popen(
            ["docker", "compose", "--ansi=never", "--progress=plain", *argv],
            cwd=ROOT,
            env={**os.environ, "COMPOSE_PROJECT_NAME": self.name}
            | {"HTTP_PORT": "0", "ECHO_PORT": "0", "LOCUST_PORT": "0", "DASHBOARD_PORT": "0"}
            | {"HEALTH_INTERVAL": "1s", "COMMIT": "c0ffee", "COLUMNS": "200"}
            | {**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run docker compose to its end, and check its exit status."""
        with self.start(*argv, **env) as process:
            try:
                out, err = process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
        assert process.returncode == status, f"{argv}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(argv, status, out, err)

    def down(self) -> None:
        """Stop and remove everything."""
        self.run("--profile=all", "down", "--volumes", "--remove-orphans", "--timeout=1")

    def image(self, service: str) -> str:
        """Return the name of a service's image."""
        return f"{self.name}-{service}"

    def images(self) -> list[str]:
        """Return the names of its images."""
        return _images_of(self.name)

    def take_images_of(self, project: str) -> None:
        """Give the images of another project, which are the same, the names of this one's."""
        for image in _images_of(project):
            docker("tag", image, image.replace(project, self.name))

    def services(self) -> set[str]:
        """Return the running services, without the anchor."""
        return set(self.run("--profile=all", "ps", "--services").stdout.split()) - {"anchor"}

    def port(self, service: str, port: int) -> tuple[str, int]:
        """Return the address at which a port of a service is published."""
        address = self.run("port", service, str(port)).stdout.strip()
        host, _, number = address.rpartition(":")
        assert host == "127.0.0.1"
        return host, int(number)

    def id(self, service: str) -> str:
        """Return the container of a service, running or not."""
        return self.run("--profile=all", "ps", "--all", "--quiet", service).stdout.strip()

    def inspect(self, service: str) -> Any:
        """Return what the engine knows about a service's container."""
        return json.loads(docker("inspect", self.id(service)))[0]

    def address(self, service: str) -> str:
        """Return a container's address in its network, where nothing is forwarded."""
        (network,) = self.inspect(service)["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])


def _images_of(project: str) -> list[str]:
    return docker("images", "--format={{.Repository}}", f"--filter=reference={project}-*").split()


def docker(*argv: str) -> str:
    """Return what docker prints; it must succeed."""
    ended = subprocess.run(
        ["docker", *argv], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert ended.returncode == 0, f"{argv}: {ended.stderr}"
    return ended.stdout


def status_fields(container: str) -> dict[str, dict[str, str]]:
    """Return each process of a container -> proc(5) status fields, read from outside."""
    found = {}
    for line in docker("top", container, "-o", "pid,args").splitlines()[1:]:
        pid, _, args = line.strip().partition(" ")
        text = Path(f"/proc/{pid}/status").read_text("utf-8")
        found[args.strip()] = dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))
    return found


def variants(services: set[str]) -> set[str]:
    """Return the services that are models."""
    return services & set(MODELS)
