"""Fixtures for all tests: every model of the registry, its server, and a compose project."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.support.running
from servers.registry import MODELS
from tests.support.compose import BASE, OWNER, Project, docker
from tests.support.running import Server, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --workers: the workers of every server whose test does not choose a number."""
    parser.addoption("--workers", type=int, default=1)


def pytest_configure(config: pytest.Config) -> None:
    """Hand --workers to ``running``."""
    tests.support.running.WORKERS = config.getoption("--workers")


@pytest.fixture(scope="session", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    """Return each model's name in turn: a new one is tested as soon as it is registered."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(model: str) -> Iterator[Server]:
    """Return a server that many tests share; it must exit with 0 and an empty log."""
    with running(model) as server:
        yield server
        assert server.stop() == 0
        assert server.log() == ""


@pytest.fixture(scope="session")
def any_server() -> Iterator[Server]:
    """Return a server for tests in which the model does not matter."""
    with running("asyncio") as server:
        yield server
        assert server.stop() == 0
        assert server.log() == ""


@pytest.fixture(scope="session")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for results that another user owns."""
    folder = tmp_path_factory.mktemp("owned") / "results"
    folder.mkdir()
    for path in (folder, *list(folder.parents)[:3]):  # pytest keeps its folders to itself
        path.chmod(0o755)
    os.chown(folder, OWNER, -1)
    return folder


@pytest.fixture(scope="session")
def project(owned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a docker compose project; one worker builds its two images from nothing for all."""
    project = Project(f"showcase-test-{os.getpid()}", {"RESULTS": str(owned)})
    if not docker("images", "--quiet", BASE):
        docker("pull", BASE)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "images").open("a+") as built:
        fcntl.flock(built, fcntl.LOCK_EX)  # the other workers wait for the build
        built.seek(0)
        if images := built.read():
            project.take_images_of(images)
        else:
            project.run("build", "--no-cache", "gevent", "locust")
            project.run("--profile=all", "build")  # the others are equal, and come from the cache
            built.write(project.name)
    yield project
    project.down()
    docker("rmi", "--force", *dict.fromkeys(project.images()))
