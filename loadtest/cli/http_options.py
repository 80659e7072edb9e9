"""--path and --header of ``run`` and ``compare``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadtest.client.request import asks_to_close, field_line, target_of
from loadtest.host.parser import Parser
from loadtest.knobs import checked

if TYPE_CHECKING:
    from loadtest.running.target import Target


def add_request(parser: Parser) -> None:
    """Add the options of a request over HTTP."""
    parser.add_argument(
        "--path", metavar="PATH", type=checked(target_of),
        help="path and query for the scenario get (default: the target's own, or /)",
    )  # fmt: skip
    parser.add_argument(
        "--header", metavar="'NAME: VALUE'", type=checked(field_line), action="append", default=[],
        dest="headers", help="field of every HTTP request; repeatable; results keep no values",
    )  # fmt: skip


def check_request(
    scenarios: Sequence[str], path: str | None, headers: Sequence[str], target: "Target | None"
) -> str:
    """Return the path that the scenario ``get`` requests.

    Raises:
        ValueError: The scenarios would ignore the path or a header; says what was expected.
    """
    if path is not None and "get" not in scenarios:
        raise ValueError(f"expected the scenario get with --path, got {','.join(scenarios)}")
    if headers and list(scenarios) == ["echo"]:
        raise ValueError("expected a scenario over HTTP with --header, got echo")
    if "idle" in scenarios and asks_to_close(headers):
        raise ValueError("expected no 'Connection: close' with idle, which holds its connections")
    return (path or "/") if target is None else target.path_with(path, scenarios)
