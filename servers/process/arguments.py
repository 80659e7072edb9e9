"""The launcher's command line and environment."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from servers import __version__, limits
from servers.registry import MODELS

_DIGITS = re.compile("[0-9]{1,10}")

_EPILOG = """\
Every flag has an environment variable, named beside it; the command line takes precedence.

HTTP/1.1:  GET /  GET /json  GET /wait?ms=50  GET /cpu?n=100000  GET /hash?kib=1024
           GET /bytes?n=1000000  POST /echo  GET /healthz  GET /metrics[?memory=pss]
Echo:      every byte comes back, in order; after your FIN the rest, then FIN

Once it listens, the server prints one line on standard output:
  listening model=gevent http=127.0.0.1:8000 echo=127.0.0.1:7000 pid=4711
Everything else goes to standard error, such as further addresses of a name. On SIGTERM or SIGINT
the server stops accepting, answers the requests in flight, and exits with 0; a second signal ends
it at once, with 1. Usage errors exit with 2, start-up failures with 3.
With --workers, SIGHUP replaces the workers one by one; limits and the backlog are per worker.

examples:
  %(prog)s gevent
  %(prog)s uvloop --bind 0.0.0.0 --http-port 8080 --echo-port off
  curl http://127.0.0.1:8000/wait?ms=50
"""


@dataclass(frozen=True)
class Arguments:
    """The parsed command line; a port of None leaves its protocol out, 0 picks a free one."""

    model: str
    bind: str
    http_port: int | None
    echo_port: int | None
    workers: int
    backlog: int
    max_connections: int | None
    limit_concurrency: int | None
    max_body_size: int
    timeout_header: float
    timeout_body: float
    timeout_write: float
    timeout_keep_alive: float
    timeout_echo_idle: float
    timeout_graceful_shutdown: float


class Flag(NamedTuple):
    """One flag, and how its value is read.

    Attributes:
        name: On the command line.
        metavar: The value's name in the help text.
        default: Read as if it had been typed.
        read: Returns the value; raises ``ArgumentTypeError``.
        help: One line, without the default.
        more_variables: Environment variables after ``SERVERS_<NAME>``, which every flag has.
    """

    name: str
    metavar: str
    default: object
    read: Callable[[str], object]
    help: str
    more_variables: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The field of ``Arguments`` that has the value."""
        return self.name.removeprefix("--").replace("-", "_")

    @property
    def variables(self) -> list[str]:
        """The environment variables that may have the value, the first one before the others."""
        return [f"SERVERS_{self.field.upper()}", *self.more_variables]


def _port(text: str) -> int | None:
    if text == "off":
        return None
    if not _DIGITS.fullmatch(text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535 or 'off', got {text!r}")
    return int(text)


def _count(minimum: int) -> Callable[[str], int]:
    def parse_count(text: str) -> int:
        if not _DIGITS.fullmatch(text) or not minimum <= int(text) <= 2**31 - 1:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {minimum} to {2**31 - 1}, got {text!r}"
            )
        return int(text)

    return parse_count


def _or_none(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    return lambda text: None if text == "none" else parse(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:  # no number
        seconds = -1.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds, above 0 to 86400, got {text!r}")
    return seconds


FLAGS = (
    Flag(
        "--bind", "ADDRESS", "127.0.0.1", str,
        "address to listen on, or a host name (all its addresses)",
    ),
    Flag(
        "--http-port", "PORT", 8000, _port,
        "HTTP port; 0 picks a free one, 'off' leaves HTTP out",
    ),
    Flag(
        "--echo-port", "PORT", 7000, _port,
        "echo port; 0 picks a free one, 'off' leaves echo out",
    ),
    Flag(
        "--workers", "N", 1, _count(1),
        "number of processes that serve, each its share of the clients", ("WEB_CONCURRENCY",),
    ),
    Flag(
        "--backlog", "N", limits.BACKLOG, _count(1),
        "connections that the kernel queues before they are accepted",
    ),
    Flag(
        "--max-connections", "N", "none", _or_none(_count(1)),
        "most connections that are accepted at a time; further clients wait in the backlog",
    ),
    Flag(
        "--limit-concurrency", "N", "none", _or_none(_count(1)),
        "most connections that are served at a time; further ones get a 503, or for echo a close",
    ),
    Flag(
        "--max-body-size", "BYTES", limits.BODY_BYTES_MAX, _count(0),
        "largest request body; a larger one gets a 413",
    ),
    Flag(
        "--timeout-header", "S", limits.HEADER_TIMEOUT_S, _seconds,
        "time for a request's head, from its first byte; then 408",
    ),
    Flag(
        "--timeout-body", "S", limits.BODY_TIMEOUT_S, _seconds,
        "time for a request's body, from the end of its head; then 408",
    ),
    Flag(
        "--timeout-write", "S", limits.WRITE_TIMEOUT_S, _seconds,
        "time for a client to take 64 KiB of its replies; then its connection is reset",
    ),
    Flag(
        "--timeout-keep-alive", "S", limits.KEEP_ALIVE_TIMEOUT_S, _seconds,
        "longest silence before and between HTTP requests",
    ),
    Flag(
        "--timeout-echo-idle", "S", limits.ECHO_IDLE_TIMEOUT_S, _seconds,
        "longest silence on an echo connection",
    ),
    Flag(
        "--timeout-graceful-shutdown", "S", limits.GRACEFUL_SHUTDOWN_TIMEOUT_S, _seconds,
        "longest time from SIGTERM to the exit",
    ),
)  # fmt: skip


def program() -> str:
    """Return the name the launcher was called by: its console script, or else the module."""
    name = sys.argv[0].rpartition("/")[2]
    return name if name == "concurrency-servers" else "python -m servers"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print in one line what is wrong and where help is; exit with 2."""
        self.exit(2, f"{self.prog}: {message}; run: {self.prog} --help\n")


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        width = max(map(len, MODELS))
        print("\n".join(f"{name:{width}}  {MODELS[name].summary}" for name in MODELS))
        parser.exit()


def parse(argv: Sequence[str] | None) -> Arguments:
    """Return the arguments; exits with 0 after --help, --list and --version, with 2 if wrong."""
    parser = _new_parser()
    values: dict[str, Any] = vars(parser.parse_args(argv))
    for flag in FLAGS:
        if flag.field not in values:
            variable = next((v for v in flag.variables if v in os.environ), flag.variables[0])
            try:
                values[flag.field] = flag.read(os.environ.get(variable, str(flag.default)))
            except argparse.ArgumentTypeError as error:  # the variable's value: defaults are right
                parser.error(f"environment variable {variable}: {error}")
    arguments = Arguments(**values)
    if arguments.http_port is None and arguments.echo_port is None:
        parser.error("expected at least one protocol, got --http-port off and --echo-port off")
    return arguments


def _new_parser() -> _Parser:
    parser = _Parser(
        prog=program(),
        description="Serve echo and HTTP/1.1 with one concurrency model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # else a new flag could change what an old command line means
    )
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument(
        "--list",
        action=_List,
        nargs=0,
        default=argparse.SUPPRESS,
        help="list the models: who waits, and what each needs",
    )
    parser.add_argument("--version", action="version", version=f"servers {__version__}")
    for flag in FLAGS:
        parser.add_argument(
            flag.name,
            metavar=flag.metavar,
            default=argparse.SUPPRESS,
            type=flag.read,
            help=f"{flag.help} (default: {flag.default}; or {', '.join(flag.variables)})",
        )
    return parser
