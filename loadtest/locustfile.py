"""What Locust loads: locust -f loadtest/locustfile.py [--class-picker] [Hello Echo Wait Connect].

Locust's own page and flags do the rest. It runs flat out, and rounds times to milliseconds; what
is measured with care comes from ``python -m loadtest``.
"""

import argparse

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtest.clients import NotConnectedError, address_of
from loadtest.scenarios import (
    ECHO_BYTES,
    ECHO_BYTES_MAX,
    ECHO_BYTES_MIN,
    ECHO_PORT,
    Connect,
    Echo,
    Hello,
    Wait,
)

__all__ = ["Connect", "Echo", "Hello", "Wait"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's hooks have no types
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add what --host cannot say: flags on the command line, fields on Locust's page."""
    parser.add_argument(
        "--echo-host",
        metavar="HOST[:PORT]",
        type=_echo_host,
        default="",
        help=f"where echo is spoken, else port {ECHO_PORT} of --host",
    )
    parser.add_argument(
        "--echo-bytes",
        metavar="N",
        type=_echo_bytes,
        default=ECHO_BYTES,
        help=f"length of an echoed message, {ECHO_BYTES_MIN} to {ECHO_BYTES_MAX}",
    )


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # Locust's hooks have no types
def take_arguments(environment: Environment) -> None:
    """Hand the arguments to the users; each test may have others, from Locust's page."""
    options = environment.parsed_options
    assert options is not None
    Echo.echo_host = options.echo_host
    Echo.echo_bytes = options.echo_bytes


def _echo_host(text: str) -> str:
    try:
        address_of(text, ECHO_PORT)
    except NotConnectedError as error:  # it says what was expected and what was got
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _echo_bytes(text: str) -> int:
    if not text.isdigit() or not ECHO_BYTES_MIN <= int(text) <= ECHO_BYTES_MAX:
        raise argparse.ArgumentTypeError(
            f"expected {ECHO_BYTES_MIN} to {ECHO_BYTES_MAX} bytes, got {text!r}"
        )
    return int(text)
