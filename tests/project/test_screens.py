"""What is projected: the two handlers show where they wait, in the same words."""

import ast
import re

import pytest

from servers.registry import MODELS, module_of
from tests.support.commands import ROOT

HANDLER_LINES = 12
WAITS = (
    "# 1. waits for the client's bytes",
    "# 2. waits, as if for a back end",
    "# 3. waits while the client does not read",
)
"""The same words wherever a model waits, so that two slides can be laid side by side."""

BLOCKING = ROOT / "servers/waiting/blocking.py"
CALLBACKS = ROOT / "servers/waiting/client_protocol.py"


def test_every_file_beside_the_models_is_a_model() -> None:
    files = {path.stem for path in (ROOT / "servers/models").glob("*.py")} - {"__init__"}
    assert files == {module_of(name).rpartition(".")[2] for name in MODELS}


def test_the_blocking_handler_is_a_few_lines_and_three_of_them_wait() -> None:
    source = BLOCKING.read_text("utf-8")
    [handler] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "serve_client"
    ]
    assert handler.end_lineno is not None
    lines = source.splitlines()[handler.lineno - 1 : handler.end_lineno]
    assert len(lines) <= HANDLER_LINES
    assert re.findall(r"#.*", "\n".join(lines)) == [*WAITS]


@pytest.mark.parametrize("wait", WAITS, ids=["bytes", "back end", "room"])
def test_each_wait_is_marked_once_per_way_of_waiting(wait: str) -> None:
    paths = (ROOT / "servers").rglob("*.py")
    counts = {path: path.read_text("utf-8").count(wait) for path in paths}
    assert {path: count for path, count in counts.items() if count} == {BLOCKING: 1, CALLBACKS: 1}
