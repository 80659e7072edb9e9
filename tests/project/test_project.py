"""What the project promises about its own files: sizes, imports, documents, generated text."""

import ast
import re
from pathlib import Path

import pytest

from loadtest.bench.contestants import COMPARISONS
from loadtest.bench.cost import ratio
from loadtest.report import readme
from servers.registry import MODELS, module_of
from tests.support.commands import ROOT
from tests.tools import generate

SOURCES = sorted(
    path for folder in ("servers", "loadtest", "tests") for path in (ROOT / folder).rglob("*.py")
)
README = (ROOT / "README.md").read_text("utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# -- sizes -----------------------------------------------------------------------------------------


MODEL_FILES = [ROOT / f"{module_of(name).replace('.', '/')}.py" for name in MODELS]


@pytest.mark.parametrize("path", MODEL_FILES, ids=name_of)
def test_a_model_fits_one_screen(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 40, f"{name_of(path)} has {len(lines)} lines: move some to waiting/"
    assert max(map(len, lines)) <= 88, f"{name_of(path)}: a projector shows 88 columns"


@pytest.mark.parametrize("path", MODEL_FILES, ids=name_of)
def test_a_model_is_excused_from_no_rule(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"noqa|type: ignore", text), f"{name_of(path)}: move it to waiting/"
    private = [
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.startswith("_") and not name.endswith("__")
    ]
    assert private == [], f"{name_of(path)} uses private names of other modules"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    count = len(path.read_text("utf-8").splitlines())
    assert count <= 300, f"{name_of(path)} has {count} lines: split it where two ideas meet"


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not path.is_relative_to(ROOT / "tests")], ids=name_of
)
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    lengths = [
        (function.name, (function.end_lineno or 0) - function.lineno + 1)
        for function in functions_of(path)
    ]
    assert [(name, length) for name, length in lengths if length > 60] == []


# -- the models ------------------------------------------------------------------------------------

NAMING_A_MODEL = {
    "servers/registry.py": "the entries",
    "servers/process/startup.py": "asyncio's logger",
    "loadtest/bench/benchmark.py": "packages whose version a run records",
    "loadtest/bench/contestants.py": "pairs of a model and another server: a model needs none",
    "loadtest/bench/generators.py": "the server that two generators are compared with",
    "loadtest/bundle/write.py": "packages whose version a run records",
    "loadtest/report/readme.py": "packages whose version a run records",
}
"""All else asks the registry for a fact, or a new model would have to be added there, too."""


def test_no_other_module_names_a_model() -> None:
    name = re.compile("|".join(f"[\"']{name}[\"']" for name in MODELS))
    naming = {
        name_of(path)
        for path in SOURCES
        if path.is_relative_to(ROOT / "servers") or path.is_relative_to(ROOT / "loadtest")
        if name.search(path.read_text("utf-8"))
    }
    assert naming <= NAMING_A_MODEL.keys(), "use a fact of servers/registry.py instead"


# -- the protocol ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "servers/protocol").glob("*.py")), ids=name_of)
def test_a_protocol_module_imports_nothing_that_does_io(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    doing_io = {"socket", "select", "time", "threading", "asyncio", "gevent", "signal"}
    assert not imported & doing_io, f"{name_of(path)}: a connection is bytes in, steps out"


# -- documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", generate.FILES, ids=name_of)
def test_generated_text_is_up_to_date(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == generate.generated(text), f"{name_of(path)} differs; run: make generate"


def test_every_generated_block_stands_in_one_file() -> None:
    blocks = [name for path in generate.FILES for name in generate.blocks_in(path.read_text())]
    assert sorted(blocks) == sorted(generate.BLOCKS)


def test_the_readmes_excerpts_are_short_enough_for_a_first_screen() -> None:
    for part in generate.starts().removeprefix("```python\n").split("\n\n\n"):
        assert len(part.removesuffix("\n```\n").splitlines()) - 1 <= 6, part  # one names the file
    for text in (generate.blocking_handler(), generate.callback_core()):
        code = [line for line in text.splitlines() if not line.startswith(("#", "```"))]
        assert len(code) <= 12, text


def test_the_readme_lists_every_model_first() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert rows[: len(MODELS)] == list(MODELS), "run: make generate"


def test_the_readme_counts_the_conversations() -> None:
    count = len([*(ROOT / "tests" / "corpus").glob("*.txt")])
    assert f"-->{count} conversations" in README, f"tests/corpus has {count}: write it in README"


def test_the_stored_benchmark_has_every_pair_and_held_every_connection() -> None:
    assert [pair for pair in COMPARISONS if ratio(generate.stored_runs(), pair) is None] == []
    for held in generate.stored_holdings():
        assert held.answered_twice == 10_000 and not held.failures(), held.model
    assert "not measured yet" not in generate.generator_text()


def test_the_documents_show_the_stored_comparison() -> None:
    page = readme.stored_page()
    assert readme.generated(readme.README) == readme.summary(page), "run: make generate"
    assert readme.generated(readme.COMPARISON) == readme.block(page), "run: make generate"
    assert readme.CHART.read_text("utf-8") == readme.chart_of(page), "run: make generate"


# -- the test run itself ---------------------------------------------------------------------------


@pytest.mark.xdist_group("project")
def test_an_xdist_group_keeps_its_tests_in_one_worker(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process, or no --dist loadgroup")
    assert request.node.nodeid.endswith("@project")
