"""Dockerfile, docker-compose.yml and .env agree with each other; no engine is needed."""

import re

from servers import __version__, limits
from servers.registry import MODELS
from tests.support.commands import ROOT

COMPOSE, DOCKERFILE, ENV = (
    (ROOT / name).read_text("utf-8") for name in ("docker-compose.yml", "Dockerfile", ".env")
)


def test_every_model_is_a_service_and_a_profile_of_its_own() -> None:
    services = COMPOSE.partition("\nservices:\n")[2]
    variants = re.findall(
        r"^  (\S+):\n    <<: \*variant\n    profiles: \[(\S+), all\]\n    command: \[(\S+)\]$",
        services,
        re.MULTILINE,
    )
    assert variants == [(name, name, name) for name in MODELS], "run: make generate"


def test_every_long_running_service_ends_with_the_anchor() -> None:
    services = dict(
        re.findall(
            r"^  ([\w-]+):\n((?:    .*\n)+)", COMPOSE.partition("\nservices:\n")[2], re.MULTILINE
        )
    )
    assert {*MODELS, "anchor", "locust"} < services.keys()
    assert [name for name, text in services.items() if "profiles:" not in text] == ["anchor"]
    apart = {
        name for name, text in services.items() if not re.search(r"\*(anchored|variant)", text)
    }
    passing = {name for name, text in services.items() if 'restart: "no"' in text}
    assert apart == {"anchor", *passing}


def test_no_code_is_left_out_of_an_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n*\n")[1].splitlines()
    left_out = [line for line in ignored if line and line[0] not in "!*"]
    assert left_out and [line for line in left_out if [*(ROOT / line).rglob("*.py")]] == []


def test_every_knob_of_compose_is_in_env_and_used() -> None:
    knobs = set(re.findall(r"^(\w+)=", ENV, re.MULTILINE))
    turned = set(re.findall(r"\$\{(\w+)\}", COMPOSE))
    assert turned <= knobs
    assert knobs - turned == {"VARIANT", "COMPOSE_PROFILES"}  # docker compose's own


def test_every_knob_has_a_comment() -> None:
    for block in ENV.strip().split("\n\n"):
        assert block.startswith("#"), block


def test_a_container_may_stop_for_longer_than_the_launchers_grace_period() -> None:
    grace_s, anchor_s = map(int, re.findall(r"stop_grace_period: (\d+)s", COMPOSE))
    assert grace_s < anchor_s <= grace_s + 10  # which waits for the containers
    assert limits.GRACEFUL_SHUTDOWN_TIMEOUT_S < grace_s <= limits.GRACEFUL_SHUTDOWN_TIMEOUT_S + 10


def test_the_images_name_this_version() -> None:
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE) == [__version__]
