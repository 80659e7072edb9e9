"""Settings of a load, its pace and requests: the flags that this package adds to Locust."""

from argparse import ArgumentTypeError
from dataclasses import dataclass

from loadtest.client.address import url_of
from loadtest.client.request import field_line, target_of
from loadtest.knobs import checked, knob, whole_number
from loadtest.measure.errors import NotConnectedError
from loadtest.measure.pace import Pace

ECHO_PORT = 7000
ECHO_BYTES = 128
ECHO_BYTES_MAX = 1024 * 1024
"""A megabyte: far more than any socket buffer, so that reading and writing have to go together."""


def _echo_host(text: str) -> str:
    if not text:  # the default: port 7000 of --host
        return text
    try:
        url = url_of(text, ECHO_PORT)
    except NotConnectedError as error:  # it says what was expected and what was got
        raise ArgumentTypeError(str(error)) from error
    if url.target:
        raise ArgumentTypeError(f"expected HOST:PORT without a path, got {text!r}")
    return text


def _path(text: str) -> str:
    return checked(target_of)(text) if text else text  # the default: that of --host


@dataclass(frozen=True, kw_only=True)
class LoadSpec(Pace):
    """Settings of a load, as Locust's flags and the fields of its page set them.

    Attributes:
        echo_host: Where the server speaks echo; "": port 7000 of the host.
        echo_bytes: Length of an echoed message.
        path: What the scenario ``get`` requests; "": the path of the host, or a slash.
        headers: Further fields of every request over HTTP, ``Name: value``.
    """

    echo_host: str = knob(
        "", "echo-host", "HOST[:PORT]", _echo_host, f"else port {ECHO_PORT} of --host"
    )
    echo_bytes: int = knob(
        ECHO_BYTES,
        "echo-bytes",
        "N",
        whole_number(1, ECHO_BYTES_MAX),
        "length of an echoed message",
    )
    path: str = knob(
        "", "path", "PATH", _path, "path for the scenario Get; else that of --host, or /"
    )
    headers: tuple[str, ...] = knob(
        (),
        "header",
        "'NAME: VALUE'",
        checked(field_line),
        "field of every HTTP request; repeatable",
    )
