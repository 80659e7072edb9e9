"""Write the committed text that follows from the code or from a stored run: ``make generate``.

    python -m tests.tools.generate

Such text stands between two comments, ``models: begin`` and ``models: end``, and may move to
another of the files below together with them. This module is in no package: it writes into the
repository, and reads from every layer. (``loadtest.report.readme`` writes what the stored
comparison says.)
"""

import ast
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from loadtest.bench.contestants import COMPARISONS
from loadtest.bench.cost import Run, ratio
from loadtest.bench.fresh import Fresh
from loadtest.bench.generators import Sent
from loadtest.bench.generators import ratio as generator_ratio
from loadtest.bench.holding import Holding
from servers.registry import MODELS, module_of
from tests.support.commands import ROOT

FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "docker-compose.yml"]
BENCH = ROOT / "loadtest" / "bench" / "reference" / "bench.json"

_NOT_MEASURED = "not measured yet"


def models_table() -> str:
    """Return the table of the models, from the registry and the stored benchmark."""
    memory = {held.model: f"{held.memory_kb:.1f} KB" for held in stored_holdings()}
    lines = [
        "| model | who waits | an idle connection costs | what to know |",
        "|---|---|---|---|",
    ]
    for name, model in MODELS.items():
        cost = memory.get(name, _NOT_MEASURED)
        lines.append(f"| `{name}` | {model.summary} | {cost} | {model.note} |")
    return "\n".join([*lines, ""])


def services() -> str:
    """Return docker compose's service for each model."""
    return "".join(
        f"  {name}:\n    <<: *variant\n    profiles: [{name}, all]\n    command: [{name}]\n"
        for name in MODELS
    )


def ratios_table() -> str:
    """Return what a request costs beside other servers, from the stored benchmark."""
    runs = stored_runs()
    lines = ["| model | beside | CPU time, ours / theirs |", "|---|---|---|"]
    for pair in COMPARISONS:
        spread = ratio(runs, pair)
        text = spread and f"{spread.median:.2f} ({spread.low:.2f} - {spread.high:.2f})"
        lines.append(f"| `{pair.model}` | {pair.peer} | {text or _NOT_MEASURED} |")
    return "\n".join([*lines, ""])


def holding_table() -> str:
    """Return what 10,000 connections cost each model, from the stored benchmark."""
    lines = [
        "| model | 10,000 connections accepted in | memory of each | idle, share of a core |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{held.model}` | {held.accept_s:.1f} s | {held.memory_kb:.1f} KB |"
        f" {held.idle_share:.1%} |"
        for held in stored_holdings()
    ]
    return "\n".join([*lines, ""])


def generator_text() -> str:
    """Return what our users send beside Locust's own, from the stored benchmark."""
    spread = generator_ratio([Sent(**sent) for sent in _stored()["sent"]])
    text = spread and f"{spread.median:.1f} ({spread.low:.1f} - {spread.high:.1f})"
    return (
        "Requests that a second of the generator's CPU makes, ours / `FastHttpUser`:"
        f" {text or _NOT_MEASURED}. One process, 64 connections, flat out, against `uvloop`.\n"
    )


def starts() -> str:
    """Return what starts a connection in each model that starts something."""
    parts = []
    for name in MODELS:
        path = f"{module_of(name).replace('.', '/')}.py"
        lines = _lines_of(path, "start")
        if lines:
            parts.append("\n".join([f"# {name}: {path}", *lines]))
    return _code("\n\n\n".join(parts))  # as ruff formats it


def blocking_handler() -> str:
    """Return the handler of the models that wait by blocking."""
    path = "servers/waiting/blocking.py"
    return _code("\n".join([f"# {path}", *_lines_of(path, "serve_client")]))


def callback_core() -> str:
    """Return the three places where a client of an event loop waits."""
    path = "servers/waiting/client_protocol.py"
    receive = _lines_of(path, "data_received", "self._advance(")
    advance = _lines_of(path, "_advance", "for step in steps", "break")
    named = ["# in data_received():", *receive, "# in _advance(steps):", *advance]
    return _code("\n".join([f"# {path}", *named]))


BLOCKS: Mapping[str, Callable[[], str]] = {
    "starts": starts,
    "blocking": blocking_handler,
    "callbacks": callback_core,
    "models": models_table,
    "services": services,
    "ratios": ratios_table,
    "holding": holding_table,
    "generator": generator_text,
}

_BLOCK = re.compile(
    rf"^(?P<begin>(?:<!-- |  # )(?P<name>{'|'.join(BLOCKS)}): begin.*\n)"
    r"(?:.*\n)*?"
    r"(?P<end>(?:<!-- |  # )(?P=name): end)",
    re.MULTILINE,
)


def stored_runs() -> list[Run]:
    """Return what requests cost in the stored benchmark."""
    return [Run(**run) for run in _stored()["runs"]]


def stored_holdings() -> list[Holding]:
    """Return how each model held connections in the stored benchmark."""
    return [
        Holding(**{**fields, "fresh": Fresh(**fields["fresh"])}) for fields in _stored()["holdings"]
    ]


def blocks_in(text: str) -> list[str]:
    """Return the names of the blocks between marks in a text."""
    return [match["name"] for match in _BLOCK.finditer(text)]


def generated(text: str) -> str:
    """Return a file's text with all blocks between marks as they must be."""
    return _BLOCK.sub(
        lambda match: f"{match['begin']}{BLOCKS[match['name']]()}{match['end']}", text
    )


def _lines_of(path: str, function: str, first: str = "def ", last: str = "") -> list[str]:
    """Return lines of a function without its docstring; none where there is no such function.

    Args:
        path: Of the source, from the repository's root.
        function: Its name.
        first: How the first line begins.
        last: How the last line begins; "": to the end of the function.
    """
    source = (ROOT / path).read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            numbers = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if ast.get_docstring(node) is not None:
                numbers -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
            every = source.splitlines()
            lines = [every[number - 1] for number in sorted(numbers)]
            begin = _index_of(lines, first)
            end = _index_of(lines, last) if last else len(lines) - 1
            return textwrap.dedent("\n".join(lines[begin : end + 1])).splitlines()
    return []


def _index_of(lines: Sequence[str], begin: str) -> int:
    return next(index for index, line in enumerate(lines) if line.strip().startswith(begin))


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


@cache
def _stored() -> dict[str, list[dict[str, Any]]]:
    stored: dict[str, list[dict[str, Any]]] = json.loads(BENCH.read_text("utf-8"))
    return stored


def main() -> None:
    """Write every file that differs, and name it."""
    for path in FILES:
        before = path.read_text("utf-8")
        after = generated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
