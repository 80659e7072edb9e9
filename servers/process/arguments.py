"""The launcher's command line and environment."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from servers import __version__, limits
from servers.registry import MODELS

_DIGITS = re.compile("[0-9]{1,10}")

_EPILOG = """\
Every flag may come from the environment instead, from the variable beside it; the command line
comes first.

HTTP/1.1:  GET /  GET /json  GET /wait?ms=50  GET /cpu?n=100000  GET /hash?kib=1024
           GET /bytes?n=1000000  POST /echo  GET /healthz  GET /metrics[?memory=pss]
Echo:      every byte comes back, in order; after your FIN the rest, then FIN

When it is listening it prints one line on standard output:
  listening model=gevent http=127.0.0.1:8000 echo=127.0.0.1:7000 pid=4711
All else goes to standard error, such as a name's further addresses. SIGTERM or SIGINT: stop
accepting, answer what is in flight, exit 0; a second one ends it at once with 1. Usage errors exit
with 2, start-up failures with 3.
With --workers, SIGHUP replaces them one by one; limits and the backlog are each worker's own.

examples:
  %(prog)s gevent
  %(prog)s uvloop --bind 0.0.0.0 --http-port 8080 --echo-port off
  curl http://127.0.0.1:8000/wait?ms=50
"""


@dataclass(frozen=True)
class Arguments:
    """What was asked for; a port of None leaves its protocol out, 0 picks a free one."""

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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what was wrong and where the way out is; exit with 2."""
        self.exit(2, f"{self.prog}: {message}; run: {self.prog} --help\n")


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        width = max(map(len, MODELS))
        print("\n".join(f"{name:{width}}  {MODELS[name].summary}" for name in MODELS))
        parser.exit()


def program() -> str:
    """Return what the launcher was called as: its console script, or else a module."""
    name = sys.argv[0].rpartition("/")[2]
    return name if name == "concurrency-servers" else "python -m servers"


def parse(argv: Sequence[str] | None) -> Arguments:
    """Return the arguments; exits with 0 after --help, --list and --version, with 2 if wrong."""
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
        help="say of each model who waits, and at what cost",
    )
    parser.add_argument("--version", action="version", version=f"servers {__version__}")

    otherwise: dict[str, tuple[list[str], object, Callable[[str], object]]] = {}

    def option(
        flag: str, metavar: str, default: object, type_: Callable[[str], object], help_: str,
        *more_variables: str,
    ) -> None:  # fmt: skip
        name = flag.removeprefix("--").replace("-", "_")
        variables = [f"SERVERS_{name.upper()}", *more_variables]
        parser.add_argument(
            flag,
            metavar=metavar,
            default=argparse.SUPPRESS,
            type=type_,
            help=f"{help_} (default: {default}; or {', '.join(variables)})",
        )
        otherwise[name] = (variables, default, type_)

    option("--bind", "ADDRESS", "127.0.0.1", str, "what to listen on; of a name, all its addresses")
    option("--http-port", "PORT", 8000, _port, "0 picks a free port, 'off' leaves HTTP out")
    option("--echo-port", "PORT", 7000, _port, "0 picks a free port, 'off' leaves echo out")
    option(
        "--workers", "N", 1, _count(1),
        "processes that serve, each with its share of the clients", "WEB_CONCURRENCY",
    )  # fmt: skip
    option(
        "--backlog", "N", limits.BACKLOG, _count(1), "connections the kernel queues before accept"
    )
    option(
        "--max-connections", "N", "none", _or_none(_count(1)),
        "then no more are accepted, and clients wait in the backlog",
    )  # fmt: skip
    option(
        "--limit-concurrency", "N", "none", _or_none(_count(1)),
        "connections that are served; further ones are told 503, or closed",
    )  # fmt: skip
    option(
        "--max-body-size", "BYTES", limits.BODY_BYTES_MAX, _count(0),
        "largest request body; a larger one gets 413",
    )  # fmt: skip
    option(
        "--timeout-header", "S", limits.HEADER_TIMEOUT_S, _seconds,
        "for a request's head, from its first byte; then 408",
    )  # fmt: skip
    option(
        "--timeout-body", "S", limits.BODY_TIMEOUT_S, _seconds,
        "for a request's body, from the end of its head; then 408",
    )  # fmt: skip
    option(
        "--timeout-write", "S", limits.WRITE_TIMEOUT_S, _seconds,
        "for a client to take 64 KiB that it is sent; then it is cut off",
    )  # fmt: skip
    option(
        "--timeout-keep-alive", "S", limits.KEEP_ALIVE_TIMEOUT_S, _seconds,
        "silence allowed before and between HTTP requests",
    )  # fmt: skip
    option(
        "--timeout-echo-idle", "S", limits.ECHO_IDLE_TIMEOUT_S, _seconds,
        "silence allowed on an echo connection",
    )  # fmt: skip
    option(
        "--timeout-graceful-shutdown", "S", limits.GRACEFUL_SHUTDOWN_TIMEOUT_S, _seconds,
        "from SIGTERM to exit, at the most",
    )  # fmt: skip
    given = vars(parser.parse_args(argv))
    for name, (variables, default, type_) in otherwise.items():
        if name in given:
            continue
        variable = next((each for each in variables if each in os.environ), variables[0])
        try:
            given[name] = type_(os.environ.get(variable, str(default)))
        except argparse.ArgumentTypeError as error:  # the variable's: the default is right
            parser.error(f"environment variable {variable}: {error}")
    arguments = Arguments(**given)
    if arguments.http_port is None and arguments.echo_port is None:
        parser.error("expected at least one protocol, got --http-port off and --echo-port off")
    return arguments


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
    except ValueError:  # not a number at all
        seconds = -1.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds, above 0 to 86400, got {text!r}")
    return seconds
