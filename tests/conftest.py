"""What every test may ask for: each model's server, by one parametrisation over the registry."""

from collections.abc import Iterator

import pytest

from servers.registry import MODELS
from tests.running import Server, running


@pytest.fixture(scope="session", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    """Return each model's name in turn: a new one is tested as soon as it is registered."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(model: str) -> Iterator[Server]:
    """Return a server that many tests share; it must end as quietly as it ran."""
    with running(model) as server:
        yield server
        assert server.stop() == 0
        assert server.log() == ""
